// The reference file: rows of log-probabilities as half floats behind a 24-byte header.
#pragma once

#include "files.hpp"

#include "ggml.h"

#include <cstdint>
#include <string>
#include <vector>

namespace bench {

class ReferenceWriter {
public:
    ReferenceWriter(const std::string & path, uint32_t rows, uint32_t vocabulary);

    void write(uint32_t row, const float * logits, double log_sum);
    void commit() { file_.commit(); }

private:
    PendingFile file_;
    std::vector<float> values_;
    std::vector<ggml_fp16_t> halves_;
};

class ReferenceReader {
public:
    // Checks the header and the size.
    explicit ReferenceReader(const std::string & path);

    uint32_t rows() const { return rows_; }
    uint32_t vocabulary() const { return vocabulary_; }
    // Valid until the next call.
    const float * row(uint32_t index);

private:
    MappedFile file_;
    uint32_t rows_;
    uint32_t vocabulary_;
    std::vector<float> values_;
};

}
