#include "engine.hpp"
#include "kinds.hpp"
#include "requests.hpp"

#include <climits>
#include <stdexcept>

namespace bench {

namespace {

struct Request {
    int64_t id;
    std::string text;
    bool add_special;
    bool parse_special;
};

std::vector<Request> read_all(const std::string & path) {
    std::vector<Request> requests;
    read_requests(path, [&](Fields & fields, int64_t id) {
        requests.push_back({id, fields.text("text"), fields.boolean("add_special"),
                            fields.boolean("parse_special")});
    });
    return requests;
}

std::vector<llama_token> tokenize(const llama_vocab * vocab, const Request & request) {
    if (request.text.size() > size_t(INT32_MAX)) {
        throw std::runtime_error(request_name(request.id) + ": text is too long");
    }
    std::vector<llama_token> tokens(request.text.size() / 2 + 16);
    const auto fill = [&] {
        return llama_tokenize(vocab, request.text.data(), int32_t(request.text.size()),
                              tokens.data(), int32_t(tokens.size()), request.add_special,
                              request.parse_special);
    };
    int32_t count = fill();
    if (count < 0 && count != INT32_MIN) {  // it says how many it needs
        tokens.resize(size_t(-count));
        count = fill();
    }
    if (count < 0) {
        throw std::runtime_error(request_name(request.id) + ": cannot be tokenized");
    }
    tokens.resize(size_t(count));
    return tokens;
}

}

void run(const TokenizeJob & job, Events & events) {
    const std::vector<Request> requests = read_all(job.requests);
    Answers answers(job.answers);
    const LlamaSession session;
    llama_model_params params = llama_model_default_params();
    params.vocab_only = true;
    const ModelPtr model = load_model(job.model, params, session.log());
    const llama_vocab * vocab = llama_model_get_vocab(model.get());

    Tally tally(requests.size());
    for (const Request & request : requests) {
        if (answers.has(request.id)) {
            tally.skip();
            continue;
        }
        const std::vector<llama_token> tokens = tokenize(vocab, request);
        answers.write({{"id", request.id}, {"tokens", tokens}});
        tally.answer(tokens.size());
    }
    tally.write(events);
}

}
