#include "engine.hpp"
#include "files.hpp"
#include "kinds.hpp"

#include <map>
#include <stdexcept>

namespace bench {

namespace {

void quantize(const QuantizeJob & job, const std::string & output, const LlamaLog & log) {
    llama_model_quantize_params params = llama_model_quantize_default_params();
    params.nthread = job.threads;
    params.ftype = job.type.ftype;
    params.token_embedding_type = job.embedding_type.type;
    params.output_tensor_type = job.output_type.type;
    // an explicit type for the blocks keeps llama.cpp's mixing heuristics out
    const llama_model_tensor_override overrides[] = {{"^blk\\.", job.type.type},
                                                     {nullptr, GGML_TYPE_COUNT}};
    params.tt_overrides = overrides;
    if (llama_model_quantize(job.model.c_str(), output.c_str(), &params) != 0) {
        throw std::runtime_error("cannot quantize " + job.model + log.last_errors());
    }
}

struct GgufDeleter {
    void operator()(gguf_context * context) const { gguf_free(context); }
};
struct GgmlDeleter {
    void operator()(ggml_context * context) const { ggml_free(context); }
};

// A matrix of a block that takes part in matrix products; routers of experts stay as they were.
bool is_block_linear(const ggml_tensor * tensor) {
    const std::string name = ggml_get_name(tensor);
    const bool in_block = name.rfind("blk.", 0) == 0;
    const bool router = name.find("ffn_gate_inp") != std::string::npos;
    return in_block && !router && ggml_n_dims(tensor) >= 2;
}

// Counts the file's tensors by type; throws when a block linear has another type than asked for.
std::map<std::string, size_t> inspect(const std::string & path, ggml_type blocks) {
    ggml_context * tensors = nullptr;
    const std::unique_ptr<gguf_context, GgufDeleter> file(
        gguf_init_from_file(path.c_str(), {/* no_alloc */ true, &tensors}));
    const std::unique_ptr<ggml_context, GgmlDeleter> owner(tensors);
    if (!file) {
        throw std::runtime_error("cannot read what was written to " + path);
    }
    std::map<std::string, size_t> counts;
    for (const ggml_tensor * t = ggml_get_first_tensor(tensors); t != nullptr;
         t = ggml_get_next_tensor(tensors, const_cast<ggml_tensor *>(t))) {
        if (is_block_linear(t) && t->type != blocks) {
            throw std::runtime_error(std::string(ggml_get_name(t)) + " cannot be " +
                                     ggml_type_name(blocks) + ", it became " +
                                     ggml_type_name(t->type));
        }
        ++counts[ggml_type_name(t->type)];
    }
    return counts;
}

}

void run(const QuantizeJob & job, Events & events) {
    require_file(job.model);
    const LlamaSession session;
    PendingFile output(job.output);
    quantize(job, output.temporary(), session.log());
    const auto counts = inspect(output.temporary(), job.type.type);
    const size_t bytes = output.size();
    output.commit();
    events.write("quantized", {{"tensors", counts}, {"bytes", bytes}});
}

}
