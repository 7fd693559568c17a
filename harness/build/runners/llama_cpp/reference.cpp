#include "reference.hpp"

#include <cerrno>
#include <cstring>
#include <stdexcept>
#include <unistd.h>

namespace bench {

namespace {

struct Header {
    char magic[8];
    uint32_t version;
    uint32_t rows;
    uint32_t vocabulary;
    uint32_t zero;
};
static_assert(sizeof(Header) == 24, "the header has no padding");

constexpr char kMagic[8] = {'B', 'E', 'N', 'C', 'H', 'R', 'E', 'F'};
constexpr uint32_t kVersion = 1;

size_t row_bytes(uint32_t vocabulary) {
    return size_t(vocabulary) * sizeof(ggml_fp16_t);
}

void write_at(int fd, const void * data, size_t size, off_t offset, const std::string & path) {
    if (lseek(fd, offset, SEEK_SET) != offset) {
        throw_errno("write", path);
    }
    write_all(fd, data, size, path);
}

}

ReferenceWriter::ReferenceWriter(const std::string & path, uint32_t rows, uint32_t vocabulary)
    : file_(path), values_(vocabulary), halves_(vocabulary) {
    Header header{{}, kVersion, rows, vocabulary, 0};
    std::memcpy(header.magic, kMagic, sizeof(kMagic));
    write_at(file_.fd(), &header, sizeof(header), 0, file_.temporary());
}

void ReferenceWriter::write(uint32_t row, const float * logits, double log_sum) {
    for (size_t i = 0; i < values_.size(); ++i) {
        values_[i] = float(double(logits[i]) - log_sum);
    }
    ggml_fp32_to_fp16_row(values_.data(), halves_.data(), int64_t(values_.size()));
    const size_t size = row_bytes(uint32_t(values_.size()));
    write_at(file_.fd(), halves_.data(), size, off_t(sizeof(Header) + row * size),
             file_.temporary());
}

ReferenceReader::ReferenceReader(const std::string & path) : file_(path) {
    Header header{};
    if (file_.size() < sizeof(header)) {
        throw std::runtime_error(path + " is not a reference file: too short");
    }
    std::memcpy(&header, file_.data(), sizeof(header));
    if (std::memcmp(header.magic, kMagic, sizeof(kMagic)) != 0 || header.version != kVersion ||
        header.zero != 0) {
        throw std::runtime_error(path + " is not a reference file of version 1");
    }
    rows_ = header.rows;
    vocabulary_ = header.vocabulary;
    if (file_.size() != sizeof(header) + rows_ * row_bytes(vocabulary_)) {
        throw std::runtime_error(path + " does not hold the " + std::to_string(rows_) +
                                 " rows that its header names");
    }
    values_.resize(vocabulary_);
}

const float * ReferenceReader::row(uint32_t index) {
    const uint8_t * start = file_.data() + sizeof(Header) + index * row_bytes(vocabulary_);
    ggml_fp16_to_fp32_row(reinterpret_cast<const ggml_fp16_t *>(start), values_.data(),
                          int64_t(vocabulary_));
    return values_.data();
}

}
