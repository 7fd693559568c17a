// The job file: one struct a kind, holding exactly the keys of docs/runner-protocol.md.
#pragma once

#include "llama.h"

#include <cstdint>
#include <optional>
#include <string>
#include <variant>
#include <vector>

namespace bench {

struct EngineSettings {
    std::string model;
    std::optional<std::string> adaptor;
    int32_t threads;
    int32_t threads_batch;
    int32_t context;
    int32_t batch;
    int32_t ubatch;
    llama_load_mode load_mode;
    bool repack;
    ggml_type kv_type;
    llama_flash_attn_type flash_attn;
};

struct SpeedJob {
    EngineSettings engine;
    std::vector<llama_token> prompt;
    std::vector<llama_token> prefix;
    int32_t generated;
    int32_t repetitions;
    int32_t warmups;
    bool canary;
    int32_t discards;  // how often a window may be repeated because the machine was slower
    int64_t idle_ms;   // slept before each window, which then starts from idle
};

struct LoadJob {
    EngineSettings engine;
    bool cold;
};

struct SustainedJob {
    EngineSettings engine;
    std::vector<llama_token> prompt;
    int32_t generated;
    int64_t work_ms;
    int64_t idle_ms;
    std::string powercap;
};

struct MemoryJob {
    EngineSettings engine;
    std::vector<llama_token> prompt;
    int32_t generated;
};

struct ScoreJob {
    EngineSettings engine;
    std::string requests;
    std::string answers;
    std::optional<std::string> reference;
};

struct ReferenceJob {
    EngineSettings engine;
    std::string requests;
    std::string output;
};

struct GenerateJob {
    EngineSettings engine;
    std::string requests;
    std::string answers;
};

struct TokenizeJob {
    std::string model;
    std::string requests;
    std::string answers;
};

struct BandwidthJob {
    int32_t threads;
    int64_t buffer;
    int32_t repetitions;
    int32_t warmups;
};

struct QuantType {
    ggml_type type;
    llama_ftype ftype;  // of a file whose blocks are all of this type
};

struct QuantizeJob {
    std::string model;
    std::string output;
    QuantType type;
    QuantType embedding_type;
    QuantType output_type;
    int32_t threads;
};

using Job = std::variant<SpeedJob, MemoryJob, ScoreJob, ReferenceJob, GenerateJob, TokenizeJob,
                         BandwidthJob, QuantizeJob, LoadJob, SustainedJob>;

// Throws BadInput with one line that says what is wrong.
Job read_job(const std::string & path);

const char * kind_of(const Job & job);

}
