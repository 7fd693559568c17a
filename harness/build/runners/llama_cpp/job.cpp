#include "job.hpp"

#include "fields.hpp"
#include "files.hpp"

#include <functional>

namespace bench {

using nlohmann::json;

namespace {

constexpr int64_t kMaxThreads = GGML_MAX_N_THREADS;
constexpr int64_t kMaxCount   = INT32_MAX;
// llama.cpp rounds the context up to a multiple of 256 in 32 bits
constexpr int64_t kMaxContext = 1 << 28;
constexpr int64_t kMaxSleep   = 600'000;

int32_t threads_of(Fields & f, const char * key) {
    return int32_t(f.integer(key, 1, kMaxThreads));
}

EngineSettings engine_of(Fields & f) {
    EngineSettings s;
    s.model         = f.path("model");
    s.adaptor       = f.path_if_given("adaptor");
    s.threads       = threads_of(f, "threads");
    s.threads_batch = threads_of(f, "threads_batch");
    s.context       = int32_t(f.integer("context", 1, kMaxContext));
    s.batch         = int32_t(f.integer("batch", 1, kMaxContext));
    s.ubatch        = int32_t(f.integer("ubatch", 1, kMaxContext));
    s.load_mode     = f.choice<llama_load_mode>("load_mode", {{"none", LLAMA_LOAD_MODE_NONE},
                                                              {"mmap", LLAMA_LOAD_MODE_MMAP}});
    s.repack        = f.boolean("repack");
    s.kv_type       = f.choice<ggml_type>("kv_type", {{"f16", GGML_TYPE_F16},
                                                      {"f32", GGML_TYPE_F32},
                                                      {"q8_0", GGML_TYPE_Q8_0}});
    s.flash_attn    = f.choice<llama_flash_attn_type>(
        "flash_attn", {{"auto", LLAMA_FLASH_ATTN_TYPE_AUTO},
                       {"on", LLAMA_FLASH_ATTN_TYPE_ENABLED},
                       {"off", LLAMA_FLASH_ATTN_TYPE_DISABLED}});
    return s;
}

// The last generated token is never decoded, so it needs no room in the KV cache.
void check_room(const Fields & f, const EngineSettings & engine, size_t prompt, size_t generated) {
    const size_t needed = prompt + generated - 1;
    if (needed > size_t(engine.context)) {
        f.refuse("context", "of " + std::to_string(engine.context) + " is too small for " +
                                std::to_string(needed) + " tokens");
    }
}

Job speed_of(Fields & f) {
    SpeedJob job;
    job.engine      = engine_of(f);
    job.prompt      = f.filled_integers("prompt");
    job.prefix      = f.integers("prefix");
    job.generated   = int32_t(f.integer("generated", 1, kMaxContext));
    job.repetitions = int32_t(f.integer("repetitions", 1, kMaxCount));
    job.warmups     = int32_t(f.integer("warmups", 0, kMaxCount));
    job.canary      = f.boolean("canary");
    job.discards    = int32_t(f.integer("discards", 0, 100));
    job.idle_ms     = f.integer("idle_ms", 0, kMaxSleep);
    check_room(f, job.engine, job.prefix.size() + job.prompt.size(), size_t(job.generated));
    return job;
}

Job memory_of(Fields & f) {
    MemoryJob job;
    job.engine    = engine_of(f);
    job.prompt    = f.filled_integers("prompt");
    job.generated = int32_t(f.integer("generated", 1, kMaxContext));
    check_room(f, job.engine, job.prompt.size(), size_t(job.generated));
    return job;
}

Job load_of(Fields & f) {
    LoadJob job;
    job.engine = engine_of(f);
    job.cold   = f.boolean("cold");
    return job;
}

Job sustained_of(Fields & f) {
    SustainedJob job;
    job.engine    = engine_of(f);
    job.prompt    = f.filled_integers("prompt");
    job.generated = int32_t(f.integer("generated", 2, kMaxContext));
    job.work_ms   = f.integer("work_ms", 1, kMaxSleep * 12);
    job.idle_ms   = f.integer("idle_ms", 0, kMaxSleep);
    job.powercap  = f.path("powercap");
    check_room(f, job.engine, job.prompt.size(), size_t(job.generated));
    return job;
}

Job score_of(Fields & f) {
    ScoreJob job;
    job.engine    = engine_of(f);
    job.requests  = f.path("requests");
    job.answers   = f.path("answers");
    job.reference = f.path_or_null("reference");
    return job;
}

Job reference_of(Fields & f) {
    ReferenceJob job;
    job.engine   = engine_of(f);
    job.requests = f.path("requests");
    job.output   = f.path("output");
    return job;
}

Job generate_of(Fields & f) {
    GenerateJob job;
    job.engine   = engine_of(f);
    job.requests = f.path("requests");
    job.answers  = f.path("answers");
    return job;
}

Job tokenize_of(Fields & f) {
    TokenizeJob job;
    job.model    = f.path("model");
    job.requests = f.path("requests");
    job.answers  = f.path("answers");
    return job;
}

Job bandwidth_of(Fields & f) {
    BandwidthJob job;
    job.threads     = threads_of(f, "threads");
    // every thread reads at least one page
    job.buffer      = f.integer("buffer", int64_t(job.threads) * 4096, int64_t(1) << 42);
    job.repetitions = int32_t(f.integer("repetitions", 1, kMaxCount));
    job.warmups     = int32_t(f.integer("warmups", 0, kMaxCount));
    return job;
}

// Without the k-quants, whose file types stand for mixtures.
QuantType type_of(Fields & f, const char * key) {
    return f.choice<QuantType>(key, {{"f32", {GGML_TYPE_F32, LLAMA_FTYPE_ALL_F32}},
                                     {"f16", {GGML_TYPE_F16, LLAMA_FTYPE_MOSTLY_F16}},
                                     {"bf16", {GGML_TYPE_BF16, LLAMA_FTYPE_MOSTLY_BF16}},
                                     {"q8_0", {GGML_TYPE_Q8_0, LLAMA_FTYPE_MOSTLY_Q8_0}},
                                     {"q5_0", {GGML_TYPE_Q5_0, LLAMA_FTYPE_MOSTLY_Q5_0}},
                                     {"q4_1", {GGML_TYPE_Q4_1, LLAMA_FTYPE_MOSTLY_Q4_1}},
                                     {"q4_0", {GGML_TYPE_Q4_0, LLAMA_FTYPE_MOSTLY_Q4_0}}});
}

Job quantize_of(Fields & f) {
    QuantizeJob job;
    job.model          = f.path("model");
    job.output         = f.path("output");
    job.type           = type_of(f, "type");
    job.embedding_type = type_of(f, "embedding_type");
    job.output_type    = type_of(f, "output_type");
    job.threads        = threads_of(f, "threads");
    return job;
}

json parse_file(const std::string & path) {
    try {
        return json::parse(read_text(path));
    } catch (const json::exception & error) {
        throw BadInput("job: not valid JSON: " + std::string(error.what()));
    } catch (const std::runtime_error & error) {
        throw BadInput("job: " + std::string(error.what()));
    }
}

}

Job read_job(const std::string & path) {
    using Reader = std::function<Job(Fields &)>;

    const json document = parse_file(path);
    Fields fields(document, "job");
    const Reader read = fields.choice<Reader>("kind", {{"speed", speed_of},
                                                       {"memory", memory_of},
                                                       {"load", load_of},
                                                       {"sustained", sustained_of},
                                                       {"score", score_of},
                                                       {"reference", reference_of},
                                                       {"generate", generate_of},
                                                       {"tokenize", tokenize_of},
                                                       {"bandwidth", bandwidth_of},
                                                       {"quantize", quantize_of}});
    Job job = read(fields);
    fields.finish();
    return job;
}

const char * kind_of(const Job & job) {
    static const char * const names[std::variant_size_v<Job>] = {
        "speed",    "memory",    "score",    "reference", "generate",
        "tokenize", "bandwidth", "quantize", "load",      "sustained"};
    return names[job.index()];
}

}
