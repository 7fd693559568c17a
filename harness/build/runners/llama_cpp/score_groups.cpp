#include "score_groups.hpp"

#include "context_reader.hpp"
#include "fields.hpp"
#include "requests.hpp"

#include <string>

namespace bench {

void Score::add(llama_token token, const float * logits, const RowSummary & row) {
    logprob += double(logits[token]) - row.log_sum;
    greedy = greedy && token == row.best;
}

std::vector<Group> read_groups(const ScoreJob & job, size_t & requests) {
    std::vector<Group> groups;
    read_requests(job.requests, [&](Fields & fields, int64_t id) {
        std::vector<llama_token> context = fields.filled_integers("context");
        const size_t shared = size_t(fields.integer("shared", 0, INT32_MAX));
        check_shared(shared, context.size(), request_name(id));
        Item item{id, fields.filled_integers("continuation")};
        if (context.size() + item.decoded() > size_t(job.engine.context)) {
            throw BadInput(request_name(id) + ": context and continuation have " +
                           std::to_string(context.size() + item.continuation.size()) +
                           " tokens; in the job's context fit " +
                           std::to_string(job.engine.context) + " and a last one");
        }
        if (groups.empty() || groups.back().context != context ||
            groups.back().shared != shared) {
            groups.push_back({std::move(context), shared, {}});
        }
        groups.back().items.push_back(std::move(item));
        ++requests;
    });
    return groups;
}

void check_group(const Group & group, int32_t vocabulary) {
    check_tokens(group.context, vocabulary, request_name(group.items.front().id));
    for (const Item & item : group.items) {
        check_tokens(item.continuation, vocabulary, request_name(item.id));
    }
}

}
