// Arrays of some size begin at a cache line.
//
// ggml's CPU backend takes its work buffer, through which every activation passes on its way into a
// matrix product, from operator new[], which promises 16 bytes. Where it then lies is chance: paths,
// settings and the order of earlier allocations decide it for a whole process. With AVX-512, prefill
// of 16-bit weights was 5 to 7 % faster at a multiple of 32 than at an odd multiple of 16
// (docs/performance.md). A number that anybody can measure again must not hang on this.
#include <cstddef>
#include <cstdlib>
#include <new>

namespace {

constexpr std::size_t kCacheLine = 64;
constexpr std::size_t kWorthAligning = 4096;

void * array_of(std::size_t size) {
    if (size < kWorthAligning) {
        return std::malloc(size > 0 ? size : 1);
    }
    void * memory = nullptr;
    return posix_memalign(&memory, kCacheLine, size) == 0 ? memory : nullptr;
}

}

void * operator new[](std::size_t size) {
    void * memory = array_of(size);
    if (memory == nullptr) {
        throw std::bad_alloc();
    }
    return memory;
}

void operator delete[](void * memory) noexcept { std::free(memory); }

void operator delete[](void * memory, std::size_t) noexcept { std::free(memory); }
