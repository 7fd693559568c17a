#include "context_reader.hpp"
#include "engine.hpp"
#include "kinds.hpp"
#include "logits.hpp"
#include "requests.hpp"
#include "token_batch.hpp"

#include <algorithm>
#include <limits>
#include <stdexcept>

namespace bench {

namespace {

struct Request {
    int64_t id;
    std::vector<llama_token> tokens;
    size_t shared;
    size_t max_tokens;
    std::vector<std::string> stop;
};

struct Generated {
    std::string text;
    size_t tokens = 0;
    const char * stopped = "";
};

std::vector<Request> read_all(const GenerateJob & job) {
    std::vector<Request> requests;
    read_requests(job.requests, [&](Fields & fields, int64_t id) {
        Request request{id, fields.filled_integers("tokens"),
                        size_t(fields.integer("shared", 0, INT32_MAX)),
                        size_t(fields.integer("max_tokens", 1, INT32_MAX)), fields.texts("stop")};
        check_shared(request.shared, request.tokens.size(), request_name(id));
        if (request.tokens.size() > size_t(job.engine.context)) {
            throw BadInput(request_name(id) + ": has " + std::to_string(request.tokens.size()) +
                           " tokens, the job's context only " +
                           std::to_string(job.engine.context));
        }
        requests.push_back(std::move(request));
    });
    return requests;
}

// Text grows token by token; a stop string may begin in one token and end in another.
class StopFinder {
public:
    explicit StopFinder(const std::vector<std::string> & stops) : stops_(stops) {
        for (const std::string & stop : stops) {
            longest_ = std::max(longest_, stop.size());
        }
    }

    // Where the earliest stop string begins that the text's new end completes, or npos.
    size_t find(const std::string & text, size_t old_size) const {
        const size_t from = old_size - std::min(old_size, longest_);
        size_t first = std::string::npos;
        for (const std::string & stop : stops_) {
            first = std::min(first, text.find(stop, from));
        }
        return first;
    }

private:
    const std::vector<std::string> & stops_;
    size_t longest_ = 0;
};

std::string piece_of(const llama_vocab * vocab, llama_token token) {
    std::string text(64, '\0');
    int32_t length = llama_token_to_piece(vocab, token, &text[0], int32_t(text.size()), 0, false);
    if (length < 0) {
        text.resize(size_t(-length));
        length = llama_token_to_piece(vocab, token, &text[0], int32_t(text.size()), 0, false);
    }
    text.resize(size_t(std::max(length, 0)));
    return text;
}

class Generator {
public:
    Generator(Engine & engine, int32_t context)
        : engine_(engine), context_(size_t(context)), reader_(engine), next_(1) {}

    Generated generate(const Request & request);

private:
    llama_token next(llama_token token, size_t position);
    llama_token choose(const float * logits) const;

    Engine & engine_;
    size_t context_;
    ContextReader reader_;
    TokenBatch next_;
};

llama_token Generator::choose(const float * logits) const {
    return summarize(logits, size_t(engine_.vocabulary())).best;  // argmax would pass over a NaN
}

llama_token Generator::next(llama_token token, size_t position) {
    next_.clear();
    next_.add(token, llama_pos(position), 0, true);
    engine_.decode(next_.all());
    return choose(engine_.logits(0));
}

Generated Generator::generate(const Request & request) {
    const StopFinder stops(request.stop);
    const llama_vocab * vocab = engine_.vocab();
    Generated result;
    size_t position = request.tokens.size();
    reader_.read(request.tokens, request.shared);
    llama_token token = choose(reader_.logits());
    for (;; token = next(token, position++)) {
        if (llama_vocab_is_eog(vocab, token)) {
            result.stopped = "eog";
            return result;
        }
        const size_t old_size = result.text.size();
        result.text += piece_of(vocab, token);
        ++result.tokens;
        const size_t stop = stops.find(result.text, old_size);
        if (stop != std::string::npos) {
            result.text.resize(stop);
            result.stopped = "stop";
            return result;
        }
        if (result.tokens == request.max_tokens) {
            result.stopped = "length";
            return result;
        }
        if (position == context_) {
            result.stopped = "context";
            return result;
        }
    }
}

Generated named(const Request & request, Generator & generator) {
    try {
        return generator.generate(request);
    } catch (const NotFinite & error) {
        throw std::runtime_error(request_name(request.id) + ": " + error.what());
    }
}

}

void run(const GenerateJob & job, Events & events) {
    const std::vector<Request> requests = read_all(job);
    Answers answers(job.answers);
    Engine engine(job.engine, Rows::one);
    for (const Request & request : requests) {
        check_tokens(request.tokens, engine.vocabulary(), request_name(request.id));
    }
    events.write("loaded", engine.loaded());

    Generator generator(engine, job.engine.context);
    Tally tally(requests.size());
    for (const Request & request : requests) {
        if (answers.has(request.id)) {
            tally.skip();
            continue;
        }
        const Generated result = named(request, generator);
        answers.write({{"id", request.id},
                       {"text", result.text},
                       {"tokens", result.tokens},
                       {"stopped", result.stopped}});
        tally.answer(result.tokens);
    }
    tally.write(events);
}

}
