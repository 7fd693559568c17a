#include "llama_log.hpp"

#include "llama.h"
#include "proc.hpp"

#include <algorithm>
#include <cctype>
#include <cstdio>
#include <cstdlib>
#include <iterator>

namespace bench {

namespace {

constexpr size_t kErrorsKept = 4;

std::string trimmed(const std::string & text) {
    const auto is_space = [](unsigned char c) { return std::isspace(c) != 0; };
    const auto first = std::find_if_not(text.begin(), text.end(), is_space);
    const auto last = std::find_if_not(text.rbegin(), std::make_reverse_iterator(first), is_space);
    return std::string(first, last.base());
}

bool contains(const std::string & text, const char * part) {
    return text.find(part) != std::string::npos;
}

}

LlamaLog::LlamaLog() : repeat_(std::getenv("BENCH_LLAMA_LOG") != nullptr) {
    llama_log_set(receive, this);
}

LlamaLog::~LlamaLog() {
    llama_log_set([](ggml_log_level, const char *, void *) {}, nullptr);
}

std::vector<LoggedBuffer> LlamaLog::buffers() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return buffers_;
}

std::string LlamaLog::flash_attention() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return flash_attention_;
}

std::optional<uint64_t> LlamaLog::rss_before_weights() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    return rss_before_weights_;
}

std::string LlamaLog::last_errors() const {
    const std::lock_guard<std::mutex> lock(mutex_);
    std::string text;
    for (const std::string & error : errors_) {
        text += (text.empty() ? ": " : "; ") + error;
    }
    return text;
}

void LlamaLog::receive(ggml_log_level level, const char * text, void * self) {
    static_cast<LlamaLog *>(self)->take(level, text);
}

void LlamaLog::take(ggml_log_level level, const char * text) {
    const std::lock_guard<std::mutex> lock(mutex_);
    if (repeat_) {
        std::fputs(text, stderr);
    }
    if (level != GGML_LOG_LEVEL_CONT && level != level_) {
        finish_line();  // an error may break into a line that says what is going on
        level_ = level;
    }
    if (level_ == GGML_LOG_LEVEL_DEBUG) {
        return;
    }
    for (; *text != '\0'; ++text) {
        if (*text == '\n') {
            finish_line();
        } else {
            line_ += *text;
        }
    }
}

void LlamaLog::finish_line() {
    const std::string line = trimmed(line_);
    line_.clear();
    read_buffer_size(line);
    read_flash_attention(line);
    notice_weights(line);
    if (level_ == GGML_LOG_LEVEL_ERROR && !line.empty()) {
        errors_.push_back(line);
        if (errors_.size() > kErrorsKept) {
            errors_.pop_front();
        }
    }
}

// The first line of llama.cpp's load_tensors comes before any weight is allocated.
void LlamaLog::notice_weights(const std::string & line) {
    if (!rss_before_weights_ && line.rfind("load_tensors:", 0) == 0) {
        rss_before_weights_ = read_memory_status().rss;
    }
}

// "load_tensors:   CPU_Mapped model buffer size =    93.40 MiB"
void LlamaLog::read_buffer_size(const std::string & line) {
    static const std::string marker = " buffer size = ";
    const size_t at = line.find(marker);
    const size_t start = line.find(": ");
    if (at == std::string::npos || start == std::string::npos || start > at) {
        return;
    }
    const std::string subject = trimmed(line.substr(start + 2, at - start - 2));
    const size_t space = subject.rfind(' ');
    if (space == std::string::npos) {
        return;
    }
    std::string kind = subject.substr(space + 1);
    std::transform(kind.begin(), kind.end(), kind.begin(),
                   [](unsigned char c) { return char(std::tolower(c)); });
    if (kind == "rs") {  // the recurrent state takes the KV cache's part
        kind = "kv";
    }
    if (kind == "model" || kind == "lora" || kind == "kv" || kind == "compute" || kind == "output") {
        const double mib = std::strtod(line.c_str() + at + marker.size(), nullptr);
        buffers_.push_back({kind, trimmed(subject.substr(0, space)), mib});
    }
}

// "llama_context: flash_attn            = auto", and once "auto" is resolved
// "...: Flash Attention enabled" or "...: Flash Attention not supported, set to disabled"
void LlamaLog::read_flash_attention(const std::string & line) {
    if (contains(line, ": flash_attn ")) {
        flash_attention_ = trimmed(line.substr(line.find('=') + 1));
    } else if (contains(line, "Flash Attention enabled")) {
        flash_attention_ = "enabled";
    } else if (contains(line, "Flash Attention not supported")) {
        flash_attention_ = "disabled";
    }
}

}
