#include "files.hpp"

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <fcntl.h>
#include <stdexcept>
#include <string_view>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

namespace bench {

namespace {

FileDescriptor open_file(const std::string & path, int flags) {
    const int fd = open(path.c_str(), flags | O_CLOEXEC, 0644);
    if (fd < 0) {
        throw_errno("open", path);
    }
    return FileDescriptor(fd);
}

FileDescriptor open_regular(const std::string & path) {
    FileDescriptor file = open_file(path, O_RDONLY);
    struct stat info;
    if (fstat(file.get(), &info) != 0) {
        throw_errno("open", path);
    }
    if (!S_ISREG(info.st_mode)) {
        throw std::runtime_error("cannot open " + path + ": not a regular file");
    }
    return file;
}

size_t size_of(int fd, const std::string & path) {
    struct stat info;
    if (fstat(fd, &info) != 0) {
        throw_errno("read", path);
    }
    return size_t(info.st_size);
}

}

FileDescriptor::~FileDescriptor() {
    if (fd_ >= 0) {
        close(fd_);
    }
}

void throw_errno(const std::string & doing, const std::string & path) {
    throw std::runtime_error("cannot " + doing + " " + path + ": " + std::strerror(errno));
}

void require_file(const std::string & path) {
    open_regular(path);
}

std::string read_text(const std::string & path) {
    const FileDescriptor file = open_regular(path);
    std::string text(size_of(file.get(), path), '\0');
    size_t done = 0;
    while (done < text.size()) {
        const ssize_t n = read(file.get(), &text[done], text.size() - done);
        if (n < 0 && errno != EINTR) {
            throw_errno("read", path);
        }
        if (n == 0) {
            break;
        }
        done += n > 0 ? size_t(n) : 0;
    }
    text.resize(done);
    return text;
}

void write_all(int fd, const void * data, size_t size, const std::string & path) {
    const char * from = static_cast<const char *>(data);
    while (size > 0) {
        const ssize_t n = write(fd, from, size);
        if (n < 0 && errno != EINTR) {
            throw_errno("write", path);
        }
        from += n > 0 ? n : 0;
        size -= n > 0 ? size_t(n) : 0;
    }
}

LineFile::LineFile(const std::string & path)
    : path_(path), fd_(open_file(path, O_RDWR | O_CREAT | O_APPEND)) {
    cut_torn_line();
}

void LineFile::cut_torn_line() {
    off_t end = off_t(size_of(fd_.get(), path_));
    const off_t size = end;
    char block[4096];
    while (end > 0) {
        const size_t length = size_t(std::min<off_t>(end, sizeof(block)));
        const off_t start = end - off_t(length);
        if (pread(fd_.get(), block, length, start) != ssize_t(length)) {
            throw_errno("read", path_);
        }
        const size_t newline = std::string_view(block, length).rfind('\n');
        if (newline != std::string_view::npos) {
            end = start + off_t(newline) + 1;
            break;
        }
        end = start;
    }
    if (end != size && ftruncate(fd_.get(), end) != 0) {
        throw_errno("truncate", path_);
    }
}

void LineFile::append(std::string line) {
    line += '\n';
    write_all(fd_.get(), line.data(), line.size(), path_);
}

PendingFile::PendingFile(const std::string & path)
    : path_(path), temporary_(path + ".partial"),
      fd_(open_file(temporary_, O_RDWR | O_CREAT | O_TRUNC)) {}

PendingFile::~PendingFile() {
    if (!committed_) {
        unlink(temporary_.c_str());
    }
}

size_t PendingFile::size() const {
    return size_of(fd_.get(), temporary_);
}

void PendingFile::commit() {
    if (rename(temporary_.c_str(), path_.c_str()) != 0) {
        throw_errno("write", path_);
    }
    committed_ = true;
}

MappedFile::MappedFile(const std::string & path) {
    const FileDescriptor file = open_regular(path);
    size_ = size_of(file.get(), path);
    if (size_ == 0) {
        return;
    }
    data_ = mmap(nullptr, size_, PROT_READ, MAP_PRIVATE, file.get(), 0);
    if (data_ == MAP_FAILED) {
        throw_errno("map", path);
    }
}

MappedFile::~MappedFile() {
    if (size_ > 0) {
        munmap(data_, size_);
    }
}

}
