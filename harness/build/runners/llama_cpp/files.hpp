// Files that survive a killed program: whole appended lines, and outputs renamed when complete.
#pragma once

#include <cstdint>
#include <string>

namespace bench {

class FileDescriptor {
public:
    explicit FileDescriptor(int fd = -1) : fd_(fd) {}
    FileDescriptor(FileDescriptor && other) noexcept : fd_(other.fd_) { other.fd_ = -1; }
    FileDescriptor & operator=(FileDescriptor &&) = delete;
    ~FileDescriptor();

    int get() const { return fd_; }

private:
    int fd_;
};

// "cannot DOING PATH: reason of errno"
[[noreturn]] void throw_errno(const std::string & doing, const std::string & path);

// Throws unless the path is a readable regular file.
void require_file(const std::string & path);

std::string read_text(const std::string & path);

void write_all(int fd, const void * data, size_t size, const std::string & path);

// Appends lines, each with one write. A torn last line of an earlier program is cut off first.
class LineFile {
public:
    explicit LineFile(const std::string & path);
    void append(std::string line);

private:
    void cut_torn_line();

    std::string path_;
    FileDescriptor fd_;
};

// An output that appears under its name only when it is complete.
class PendingFile {
public:
    explicit PendingFile(const std::string & path);
    PendingFile(const PendingFile &) = delete;
    PendingFile & operator=(const PendingFile &) = delete;
    ~PendingFile();

    int fd() const { return fd_.get(); }
    const std::string & temporary() const { return temporary_; }
    size_t size() const;
    void commit();

private:
    std::string path_;
    std::string temporary_;
    FileDescriptor fd_;
    bool committed_ = false;
};

// A whole file, mapped for reading.
class MappedFile {
public:
    explicit MappedFile(const std::string & path);
    MappedFile(const MappedFile &) = delete;
    MappedFile & operator=(const MappedFile &) = delete;
    ~MappedFile();

    const uint8_t * data() const { return static_cast<const uint8_t *>(data_); }
    size_t size() const { return size_; }

private:
    void * data_ = nullptr;
    size_t size_ = 0;
};

}
