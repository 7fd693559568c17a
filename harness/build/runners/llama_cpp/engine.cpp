#include "engine.hpp"

#include "files.hpp"
#include "proc.hpp"

#include <algorithm>
#include <cmath>
#include <cstdlib>
#include <sstream>
#include <stdexcept>

namespace bench {

namespace {

// Logits are float32 rows over the vocabulary: 130 rows at 128,256 tokens.
constexpr size_t kLogitsBudget = 64 << 20;

// Where one row is read at a time: llama.cpp's own default (a row a batch token) costs 100 MB at this
// vocabulary, and with room for 1 or 2 rows alone its graph is laid out so that prefill loses 8 %.
constexpr size_t kFewRows = 16;

std::string model_description(const llama_model * model) {
    char text[256];
    llama_model_desc(model, text, sizeof(text));
    return text;
}

// "CPU : SSE3 = 1 | AVX = 1 | SVE_CNT = 16 | "; every part with the value 1 is a feature
std::vector<std::string> cpu_features() {
    std::vector<std::string> names;
    std::istringstream info(llama_print_system_info());
    for (std::string part; std::getline(info, part, '|');) {
        part = part.substr(part.find(" : ") == std::string::npos ? 0 : part.find(" : ") + 3);
        std::istringstream words(part);
        std::string name, equals, value;
        if (words >> name >> equals >> value && equals == "=" && value == "1") {
            names.push_back(name);
        }
    }
    return names;
}

Record list_buffers(const std::vector<LoggedBuffer> & buffers) {
    Record list = Record::array();
    for (const LoggedBuffer & buffer : buffers) {
        list.push_back({{"kind", buffer.kind},
                        {"name", buffer.name},
                        {"bytes", std::llround(buffer.mib * 1024 * 1024)}});
    }
    return list;
}

int64_t head_size(const llama_model * model, const char * which) {
    char text[64];
    if (llama_model_meta_val_str(model, "general.architecture", text, sizeof(text)) > 0) {
        const std::string key = std::string(text) + ".attention." + which;
        if (llama_model_meta_val_str(model, key.c_str(), text, sizeof(text)) > 0) {
            return std::atoll(text);
        }
    }
    const int32_t heads = llama_model_n_head(model);  // 0 in models without attention
    return llama_model_n_embd(model) / std::max(heads, 1);
}

// What plain attention needs: layers x context x (a row of K + a row of V).
int64_t computed_kv_bytes(const llama_model * model, const llama_context * context,
                          ggml_type type) {
    const int64_t heads = llama_model_n_head_kv(model);
    const size_t k = ggml_row_size(type, heads * head_size(model, "key_length"));
    const size_t v = ggml_row_size(type, heads * head_size(model, "value_length"));
    return int64_t(llama_model_n_layer(model)) * llama_n_ctx(context) * int64_t(k + v);
}

// llama.cpp logs MiB with two decimals: enough to see whether the computed number is what was
// allocated (it is not for sliding windows or recurrent layers), too coarse to be it.
Record kv_bytes(const std::vector<LoggedBuffer> & buffers, int64_t computed) {
    constexpr double rounding = 0.0051 * 1024 * 1024;
    double logged = 0;
    int count = 0;
    for (const LoggedBuffer & buffer : buffers) {
        if (buffer.kind == "kv") {
            logged += buffer.mib * 1024 * 1024;
            ++count;
        }
    }
    if (count == 0) {
        return nullptr;
    }
    return std::abs(double(computed) - logged) <= rounding * count ? computed : std::llround(logged);
}

bool ends_with(const std::string & text, const std::string & end) {
    return text.size() >= end.size() && text.compare(text.size() - end.size(), end.size(), end) == 0;
}

// llama.cpp names the buffer of mapped weights "CPU_Mapped", of plain ones "CPU", and of
// repacked ones after the layout ("CPU_REPACK", "CPU_KLEIDIAI", "AMX").
bool is_mapped(const LoggedBuffer & buffer) {
    return buffer.kind == "model" && ends_with(buffer.name, "_Mapped");
}

bool is_repacked(const LoggedBuffer & buffer) {
    return buffer.kind == "model" && buffer.name != "CPU" && !is_mapped(buffer);
}

const char * flash_attention_name(const std::string & logged, llama_flash_attn_type requested) {
    if (logged == "enabled" || (logged.empty() && requested == LLAMA_FLASH_ATTN_TYPE_ENABLED)) {
        return "on";
    }
    if (logged == "disabled" || (logged.empty() && requested == LLAMA_FLASH_ATTN_TYPE_DISABLED)) {
        return "off";
    }
    return "auto";
}

}

ModelPtr load_model(const std::string & path, const llama_model_params & params,
                    const LlamaLog & log) {
    require_file(path);
    ModelPtr model(llama_model_load_from_file(path.c_str(), params));
    if (!model) {
        throw std::runtime_error("cannot load " + path + log.last_errors());
    }
    return model;
}

void check_tokens(const std::vector<llama_token> & tokens, int32_t vocabulary,
                  const std::string & what) {
    for (const llama_token token : tokens) {
        if (token < 0 || token >= vocabulary) {
            throw std::runtime_error(what + ": token " + std::to_string(token) +
                                     " is outside of the vocabulary of " +
                                     std::to_string(vocabulary));
        }
    }
}

Engine::Engine(const EngineSettings & settings, Rows rows, uint32_t sequences) {
    const int64_t start = now_ns();
    load(settings);
    rows_limit_ = rows == Rows::one ? kFewRows : affordable_rows(settings);
    make_context(settings, sequences);
    attach_threads(settings);
    loaded_ = describe(settings, now_ns() - start);
}

void Engine::load(const EngineSettings & settings) {
    llama_model_params params = llama_model_default_params();
    params.n_gpu_layers = 0;
    params.load_mode = settings.load_mode;
    params.use_extra_bufts = settings.repack;
    model_ = load_model(settings.model, params, session_.log());
    if (!llama_model_has_decoder(model_.get()) || llama_model_has_encoder(model_.get())) {
        throw std::runtime_error(settings.model + " is not a decoder-only language model");
    }
    if (settings.adaptor) {  // before the context, whose graphs are sized with it
        require_file(*settings.adaptor);
        adaptor_ = llama_adapter_lora_init(model_.get(), settings.adaptor->c_str());
        if (adaptor_ == nullptr) {
            throw std::runtime_error("cannot load " + *settings.adaptor + session_.log().last_errors());
        }
    }
}

size_t Engine::affordable_rows(const EngineSettings & settings) const {
    const size_t rows = kLogitsBudget / (size_t(vocabulary()) * sizeof(float));
    return std::max<size_t>(1, std::min(rows, size_t(settings.batch)));
}

void Engine::make_context(const EngineSettings & settings, uint32_t sequences) {
    llama_context_params params = llama_context_default_params();
    params.n_ctx = uint32_t(settings.context);
    params.n_batch = uint32_t(settings.batch);
    params.n_ubatch = uint32_t(settings.ubatch);
    params.n_outputs_max = std::max(uint32_t(rows_limit_), sequences);  // llama.cpp wants one a sequence
    params.n_seq_max = sequences;
    params.kv_unified = sequences > 1;
    params.n_threads = settings.threads;
    params.n_threads_batch = settings.threads_batch;
    params.flash_attn_type = settings.flash_attn;
    params.type_k = settings.kv_type;
    params.type_v = settings.kv_type;
    context_.reset(llama_init_from_model(model_.get(), params));
    if (!context_) {
        throw std::runtime_error("cannot make a context" + session_.log().last_errors());
    }
    if (memory() == nullptr) {
        throw std::runtime_error(settings.model + " has no KV cache");
    }
    float whole = 1.0f;
    if (adaptor_ != nullptr && llama_set_adapters_lora(context_.get(), &adaptor_, 1, &whole) != 0) {
        throw std::runtime_error("cannot use " + *settings.adaptor + session_.log().last_errors());
    }
}

Engine::ThreadPoolPtr Engine::make_pool(int32_t threads, bool paused) {
    ggml_threadpool_params params = ggml_threadpool_params_default(threads);
    params.paused = paused;
    ThreadPoolPtr pool(ggml_threadpool_new(&params));
    if (!pool) {
        throw std::runtime_error("cannot start " + std::to_string(threads) + " threads");
    }
    return pool;
}

// Without a pool of its own ggml starts and joins its threads for every single graph.
void Engine::attach_threads(const EngineSettings & settings) {
    const bool shared = settings.threads == settings.threads_batch;
    if (!shared) {
        batch_pool_ = make_pool(settings.threads_batch, false);
    }
    pool_ = make_pool(settings.threads, !shared);
    llama_attach_threadpool(context_.get(), pool_.get(), batch_pool_.get());
}

void Engine::rest() {
    for (ggml_threadpool * pool : {pool_.get(), batch_pool_.get()}) {
        if (pool != nullptr) {
            ggml_threadpool_pause(pool);
        }
    }
}

void Engine::wake() {
    for (ggml_threadpool * pool : {pool_.get(), batch_pool_.get()}) {
        if (pool != nullptr) {
            ggml_threadpool_resume(pool);
        }
    }
}

Record Engine::describe(const EngineSettings & settings, int64_t load_ns) const {
    const llama_model * model = model_.get();
    llama_context * context = context_.get();
    const std::vector<LoggedBuffer> buffers = session_.log().buffers();
    const bool mapped = std::any_of(buffers.begin(), buffers.end(), is_mapped);
    const bool repacked = std::any_of(buffers.begin(), buffers.end(), is_repacked);

    Record r;
    r["load_ns"] = load_ns;
    r["model_bytes"] = llama_model_size(model);
    r["parameters"] = llama_model_n_params(model);
    r["description"] = model_description(model);
    r["layers"] = llama_model_n_layer(model);
    r["embedding"] = llama_model_n_embd(model);
    r["heads"] = llama_model_n_head(model);
    r["kv_heads"] = llama_model_n_head_kv(model);
    r["vocabulary"] = vocabulary();
    r["context_trained"] = llama_model_n_ctx_train(model);
    r["context"] = llama_n_ctx(context);
    r["batch"] = llama_n_batch(context);
    r["ubatch"] = llama_n_ubatch(context);
    r["threads"] = llama_n_threads(context);
    r["threads_batch"] = llama_n_threads_batch(context);
    r["load_mode"] = mapped ? "mmap" : "none";
    r["repack"] = repacked;
    r["kv_type"] = ggml_type_name(settings.kv_type);
    r["flash_attn"] = flash_attention_name(session_.log().flash_attention(), settings.flash_attn);
    r["kv_bytes"] = kv_bytes(buffers, computed_kv_bytes(model, context, settings.kv_type));
    r["cpu_features"] = cpu_features();
    r["buffers"] = list_buffers(buffers);
    return r;
}

void Engine::decode(const llama_batch & batch) {
    const int32_t result = llama_decode(context_.get(), batch);
    if (result == 1) {
        throw std::runtime_error("the KV cache has no room for " + std::to_string(batch.n_tokens) +
                                 " tokens");
    }
    if (result != 0) {
        throw std::runtime_error("llama_decode returned " + std::to_string(result) +
                                 session_.log().last_errors());
    }
}

std::vector<uint8_t> Engine::save(llama_seq_id sequence) {
    std::vector<uint8_t> saved(llama_state_seq_get_size(context_.get(), sequence));
    saved.resize(llama_state_seq_get_data(context_.get(), saved.data(), saved.size(), sequence));
    return saved;
}

void Engine::restore(llama_seq_id sequence, const std::vector<uint8_t> & saved) {
    if (llama_state_seq_set_data(context_.get(), saved.data(), saved.size(), sequence) == 0) {
        throw std::runtime_error("cells of the KV cache could not be put back" + session_.log().last_errors());
    }
}

const float * Engine::logits(int32_t i) {
    const float * row = llama_get_logits_ith(context_.get(), i);
    if (row == nullptr) {
        throw std::runtime_error("no logits" + session_.log().last_errors());
    }
    return row;
}

}
