// llama.cpp's log: where it says how large its buffers are, and why something failed.
#pragma once

#include "ggml.h"

#include <cstdint>
#include <deque>
#include <mutex>
#include <optional>
#include <string>
#include <vector>

namespace bench {

struct LoggedBuffer {
    std::string kind;  // model, kv, compute, output
    std::string name;
    double mib;        // llama.cpp prints two decimals
};

// Captures the log while it lives. BENCH_LLAMA_LOG=1 repeats it on standard error.
class LlamaLog {
public:
    LlamaLog();
    LlamaLog(const LlamaLog &) = delete;
    LlamaLog & operator=(const LlamaLog &) = delete;
    ~LlamaLog();

    std::vector<LoggedBuffer> buffers() const;
    // "auto", "enabled" or "disabled"; empty when the log did not say
    std::string flash_attention() const;
    // Resident memory when llama.cpp began with the weights: vocabulary and metadata were there
    std::optional<uint64_t> rss_before_weights() const;
    // ": line; line" of the last errors, or nothing
    std::string last_errors() const;

private:
    static void receive(ggml_log_level level, const char * text, void * self);
    void take(ggml_log_level level, const char * text);
    void finish_line();
    void read_buffer_size(const std::string & line);
    void read_flash_attention(const std::string & line);
    void notice_weights(const std::string & line);

    mutable std::mutex mutex_;
    bool repeat_;
    ggml_log_level level_ = GGML_LOG_LEVEL_NONE;
    std::string line_;
    std::vector<LoggedBuffer> buffers_;
    std::string flash_attention_;
    std::optional<uint64_t> rss_before_weights_;
    std::deque<std::string> errors_;
};

}
