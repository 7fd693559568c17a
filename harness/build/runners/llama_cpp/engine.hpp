// A loaded model with a context: what every kind but bandwidth, tokenize and quantize runs on.
#pragma once

#include "events.hpp"
#include "job.hpp"
#include "llama_log.hpp"

#include "llama.h"

#include <memory>
#include <string>
#include <vector>

namespace bench {

// Starts llama.cpp and captures its log. Made before anything of llama.cpp is used.
class LlamaSession {
public:
    LlamaSession() { llama_backend_init(); }
    LlamaSession(const LlamaSession &) = delete;
    LlamaSession & operator=(const LlamaSession &) = delete;
    ~LlamaSession() { llama_backend_free(); }

    const LlamaLog & log() const { return log_; }

private:
    LlamaLog log_;
};

struct ModelDeleter {
    void operator()(llama_model * model) const { llama_model_free(model); }
};
using ModelPtr = std::unique_ptr<llama_model, ModelDeleter>;

// Throws with llama.cpp's last errors when the file cannot be loaded.
ModelPtr load_model(const std::string & path, const llama_model_params & params,
                    const LlamaLog & log);

// How many rows of logits one call may produce: llama.cpp sizes its buffers by it.
enum class Rows { one, many };

class Engine {
public:
    // `sequences`: how many may share the cache.
    Engine(const EngineSettings & settings, Rows rows, uint32_t sequences = 1);

    const llama_vocab * vocab() const { return llama_model_get_vocab(model_.get()); }
    int32_t vocabulary() const { return llama_vocab_n_tokens(vocab()); }
    llama_memory_t memory() const { return llama_get_memory(context_.get()); }
    size_t batch_limit() const { return llama_n_batch(context_.get()); }
    // Most tokens that go through the model at once; a larger batch is cut.
    size_t call_limit() const { return llama_n_ubatch(context_.get()); }
    // Whether a token may belong to several sequences: a recurrent state cannot.
    bool can_branch() const {
        return !llama_model_is_recurrent(model_.get()) && !llama_model_is_hybrid(model_.get());
    }
    size_t context_size() const { return llama_n_ctx(context_.get()); }
    size_t rows_limit() const { return rows_limit_; }

    // The fields of the loaded event.
    const Record & loaded() const { return loaded_; }

    std::optional<uint64_t> rss_before_weights() const { return session_.log().rss_before_weights(); }

    // The pools' threads spin for a while after a graph: asleep, they leave the cores to others.
    void rest();
    void wake();
    void clear_memory() { llama_memory_clear(memory(), false); }
    void decode(const llama_batch & batch);
    // A sequence's part of the cache, to be put back as another sequence, into the first free cells.
    std::vector<uint8_t> save(llama_seq_id sequence);
    void restore(llama_seq_id sequence, const std::vector<uint8_t> & saved);
    void synchronize() { llama_synchronize(context_.get()); }
    // Logits of the batch's i-th token; waits for them.
    const float * logits(int32_t i);

private:
    struct ThreadPoolDeleter {
        void operator()(ggml_threadpool * pool) const { ggml_threadpool_free(pool); }
    };
    using ThreadPoolPtr = std::unique_ptr<ggml_threadpool, ThreadPoolDeleter>;
    struct ContextDeleter {
        void operator()(llama_context * context) const { llama_free(context); }
    };

    void load(const EngineSettings & settings);
    size_t affordable_rows(const EngineSettings & settings) const;
    void make_context(const EngineSettings & settings, uint32_t sequences);
    void attach_threads(const EngineSettings & settings);
    static ThreadPoolPtr make_pool(int32_t threads, bool paused);
    Record describe(const EngineSettings & settings, int64_t load_ns) const;

    LlamaSession session_;
    ModelPtr model_;
    llama_adapter_lora * adaptor_ = nullptr;  // freed with the model
    size_t rows_limit_ = 1;
    ThreadPoolPtr pool_, batch_pool_;
    std::unique_ptr<llama_context, ContextDeleter> context_;
    Record loaded_;
};

// Throws "WHAT: token 99999 is outside of the vocabulary of 49152".
void check_tokens(const std::vector<llama_token> & tokens, int32_t vocabulary,
                  const std::string & what);

}
