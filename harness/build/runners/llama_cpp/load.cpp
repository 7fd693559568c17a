// From the model's file to a ready context, with the file dropped from the page cache or whole in it.
#include "engine.hpp"
#include "files.hpp"
#include "kinds.hpp"
#include "proc.hpp"

#include <algorithm>
#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <vector>

namespace bench {

namespace {

using Bytes = std::optional<uint64_t>;

// The model's file as the kernel keeps it.
class CachedFile {
public:
    explicit CachedFile(const std::string & path) : path_(path), fd_(open(path.c_str(), O_RDONLY | O_CLOEXEC)) {
        struct stat seen {};
        if (fd_.get() < 0 || fstat(fd_.get(), &seen) != 0) {
            throw_errno("cannot open", path);
        }
        bytes_ = size_t(seen.st_size);
        told_ = seen.st_uid == geteuid() || access(path.c_str(), W_OK) == 0;
    }

    size_t bytes() const { return bytes_; }

    // Only pages that are written back can be dropped.
    void drop() const {
        fdatasync(fd_.get());
        posix_fadvise(fd_.get(), 0, 0, POSIX_FADV_DONTNEED);
    }

    void fetch() const {
        std::vector<char> part(size_t(1) << 20);
        for (off_t at = 0; at < off_t(bytes_);) {
            const ssize_t n = pread(fd_.get(), part.data(), part.size(), at);
            if (n <= 0) {
                throw_errno("cannot read", path_);
            }
            at += n;
        }
    }

    // What lies in the page cache now; none where the kernel does not say.
    Bytes cached() const {
        if (!told_) {
            return std::nullopt;
        }
        const size_t page = size_t(sysconf(_SC_PAGESIZE));
        void * data = mmap(nullptr, bytes_, PROT_READ, MAP_SHARED, fd_.get(), 0);
        if (data == MAP_FAILED) {
            return std::nullopt;
        }
        std::vector<unsigned char> resident((bytes_ + page - 1) / page);
        const bool said = mincore(data, bytes_, resident.data()) == 0;
        munmap(data, bytes_);
        const auto pages = std::count_if(resident.begin(), resident.end(), [](unsigned char c) { return c & 1; });
        return said ? Bytes(std::min(bytes_, size_t(pages) * page)) : std::nullopt;
    }

private:
    std::string path_;
    FileDescriptor fd_;
    size_t bytes_ = 0;
    bool told_ = false;  // of others' files the kernel says that all is there
};

}

void run(const LoadJob & job, Events & events) {
    require_file(job.engine.model);
    const CachedFile file(job.engine.model);
    if (job.cold) {
        file.drop();
    } else {
        file.fetch();
    }
    const Bytes cached = file.cached();
    const Bytes storage = read_storage_bytes();
    Window window;
    Engine engine(job.engine, Rows::one);
    window.stop();
    const Bytes storage_after = read_storage_bytes();

    events.write("loaded", engine.loaded());
    Record r;
    r["cold"] = job.cold;
    r["file_bytes"] = file.bytes();
    r["cached_bytes"] = or_null(cached);
    r["storage_bytes"] = or_null(difference(storage, storage_after));
    r["major_faults"] = window.process().major_faults;
    events.write("load", r);
    if (job.cold) {
        file.fetch();  // a mapped file was not read, and the next trial's load is a warm one
    }
}

}
