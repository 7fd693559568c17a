// Distributions at chosen positions: written as a reference, or compared with one.
#include "engine.hpp"
#include "kinds.hpp"
#include "logits.hpp"
#include "reference.hpp"
#include "requests.hpp"
#include "token_batch.hpp"

#include <algorithm>
#include <functional>
#include <stdexcept>

namespace bench {

namespace {

// A position that is scored, but not compared with the reference.
constexpr int32_t kNoRow = -1;

struct Request {
    int64_t id;
    std::vector<llama_token> tokens;
    std::vector<int32_t> positions;
    std::vector<int32_t> rows;
};

// Each position once, and each with a token after it, whose probability is asked for.
void check_positions(const Request & request) {
    std::vector<int32_t> sorted = request.positions;
    std::sort(sorted.begin(), sorted.end());
    if (std::adjacent_find(sorted.begin(), sorted.end()) != sorted.end()) {
        throw BadInput(request_name(request.id) + ": a position stands there twice");
    }
    if (size_t(sorted.back()) + 1 >= request.tokens.size()) {
        throw BadInput(request_name(request.id) + ": position " + std::to_string(sorted.back()) +
                       " has no next token among " + std::to_string(request.tokens.size()));
    }
    if (request.rows.size() != request.positions.size()) {
        throw BadInput(request_name(request.id) + ": positions and rows differ in length");
    }
}

std::vector<Request> read_all(const std::string & path, int32_t context) {
    std::vector<Request> requests;
    read_requests(path, [&](Fields & fields, int64_t id) {
        Request request{id, fields.filled_integers("tokens"), fields.filled_integers("positions"),
                        fields.filled_integers("rows", kNoRow)};
        check_positions(request);
        if (request.tokens.size() > size_t(context)) {
            throw BadInput(request_name(id) + ": has " + std::to_string(request.tokens.size()) +
                           " tokens, the job's context only " + std::to_string(context));
        }
        requests.push_back(std::move(request));
    });
    return requests;
}

// Of all positions, in ascending order: the place in the request's list, and the logits.
using TakeRow = std::function<void(size_t place, const float * logits)>;

class PositionReader {
public:
    explicit PositionReader(Engine & engine) : engine_(engine), batch_(engine.batch_limit()) {}

    void read(const Request & request, const TakeRow & take);

private:
    // Fills the batch from token `next` on; returns the token after it.
    size_t fill(const Request & request, const std::vector<int32_t> & places, size_t next);

    Engine & engine_;
    TokenBatch batch_;
};

size_t PositionReader::fill(const Request & request, const std::vector<int32_t> & places,
                            size_t next) {
    batch_.clear();
    size_t rows = 0;
    for (; next < places.size() && batch_.size() < engine_.batch_limit(); ++next) {
        const bool wanted = places[next] >= 0;
        if (wanted && rows == engine_.rows_limit()) {
            break;
        }
        rows += wanted ? 1 : 0;
        batch_.add(request.tokens[next], llama_pos(next), 0, wanted);
    }
    return next;
}

void PositionReader::read(const Request & request, const TakeRow & take) {
    const auto last = std::max_element(request.positions.begin(), request.positions.end());
    std::vector<int32_t> places(size_t(*last) + 1, -1);
    for (size_t i = 0; i < request.positions.size(); ++i) {
        places[size_t(request.positions[i])] = int32_t(i);
    }

    engine_.clear_memory();
    for (size_t first = 0, next; first < places.size(); first = next) {
        next = fill(request, places, first);
        engine_.decode(batch_.all());
        try {
            for (size_t i = first; i < next; ++i) {
                if (places[i] >= 0) {
                    take(size_t(places[i]), engine_.logits(int32_t(i - first)));
                }
            }
        } catch (const NotFinite & error) {
            throw std::runtime_error(request_name(request.id) + ": " + error.what());
        }
    }
}

// The file's rows, which must be 0 … n - 1, each once.
uint32_t count_rows(const std::vector<Request> & requests) {
    std::vector<int32_t> rows;
    for (const Request & request : requests) {
        rows.insert(rows.end(), request.rows.begin(), request.rows.end());
    }
    std::sort(rows.begin(), rows.end());
    for (size_t i = 0; i < rows.size(); ++i) {
        if (size_t(rows[i]) != i) {
            throw BadInput("rows must be 0 to n - 1, each once: " +
                           std::string(size_t(rows[i]) < i ? "double " : "no ") +
                           std::to_string(size_t(rows[i]) < i ? size_t(rows[i]) : i));
        }
    }
    if (rows.empty()) {
        throw BadInput("there are no requests");
    }
    return uint32_t(rows.size());
}

void check_rows(const std::vector<Request> & requests, uint32_t rows) {
    for (const Request & request : requests) {
        for (const int32_t row : request.rows) {
            if (row != kNoRow && uint32_t(row) >= rows) {
                throw BadInput(request_name(request.id) + ": row " + std::to_string(row) +
                               " is outside of the reference of " + std::to_string(rows));
            }
        }
    }
}

void check_all_tokens(const std::vector<Request> & requests, int32_t vocabulary) {
    for (const Request & request : requests) {
        check_tokens(request.tokens, vocabulary, request_name(request.id));
    }
}

Record compare(const Request & request, PositionReader & reader, ReferenceReader & reference) {
    const size_t count = request.positions.size();
    const size_t vocabulary = reference.vocabulary();
    std::vector<double> logprob(count);
    Record kl = Record::array_t(count);  // nulls
    Record top1 = kl;
    reader.read(request, [&](size_t place, const float * logits) {
        const RowSummary summary = summarize(logits, vocabulary);
        const llama_token next = request.tokens[size_t(request.positions[place]) + 1];
        logprob[place] = double(logits[next]) - summary.log_sum;
        if (request.rows[place] == kNoRow) {
            return;
        }
        const float * row = reference.row(uint32_t(request.rows[place]));
        kl[place] = divergence(row, logits, summary.log_sum, vocabulary);
        // half floats tie more often than logits; any of the tied tokens agrees
        top1[place] = row[summary.best] == row[argmax(row, vocabulary)];
    });
    return {{"id", request.id}, {"kl", kl}, {"top1", top1}, {"logprob", logprob}};
}

}

void run_distance(const ScoreJob & job, Events & events) {
    const std::vector<Request> requests = read_all(job.requests, job.engine.context);
    ReferenceReader reference(*job.reference);
    check_rows(requests, reference.rows());
    Answers answers(job.answers);
    Engine engine(job.engine, Rows::many);
    check_all_tokens(requests, engine.vocabulary());
    if (reference.vocabulary() != uint32_t(engine.vocabulary())) {
        throw std::runtime_error("the reference's vocabulary of " +
                                 std::to_string(reference.vocabulary()) +
                                 " is not the model's of " + std::to_string(engine.vocabulary()));
    }
    events.write("loaded", engine.loaded());

    PositionReader reader(engine);
    Tally tally(requests.size());
    for (const Request & request : requests) {
        if (answers.has(request.id)) {
            tally.skip();
            continue;
        }
        answers.write(compare(request, reader, reference));
        tally.answer(request.positions.size());
    }
    tally.write(events);
}

void run(const ReferenceJob & job, Events & events) {
    const std::vector<Request> requests = read_all(job.requests, job.engine.context);
    const uint32_t rows = count_rows(requests);
    Engine engine(job.engine, Rows::many);
    check_all_tokens(requests, engine.vocabulary());
    ReferenceWriter writer(job.output, rows, uint32_t(engine.vocabulary()));
    events.write("loaded", engine.loaded());

    PositionReader reader(engine);
    Tally tally(requests.size());
    const size_t vocabulary = size_t(engine.vocabulary());
    for (const Request & request : requests) {
        reader.read(request, [&](size_t place, const float * logits) {
            const RowSummary summary = summarize(logits, vocabulary);
            writer.write(uint32_t(request.rows[place]), logits, summary.log_sum);
        });
        tally.answer(request.positions.size());
    }
    writer.commit();
    tally.write(events);
}

}
