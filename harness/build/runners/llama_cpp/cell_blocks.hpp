// Where tokens lie in the KV cache. ggml's attention sums over 64 cells at a time, so the place of a token's cells
// within their tile decides how its sums round: with every run of tokens at the start of a tile, what is computed
// for it does not depend on what else lies in the cache.
#pragma once

#include "engine.hpp"

#include <cstdint>
#include <vector>

namespace bench {

constexpr size_t kTile = 64;

inline size_t tiles(size_t cells) {
    return (cells + kTile - 1) / kTile;
}

// Occupies the cells that must stay free. One tile's worth of cells is computed once; afterwards they are copied.
class CellBlocks {
public:
    // Uses the sequences first … first + count − 1. Empties the cache.
    CellBlocks(Engine & engine, llama_seq_id first, size_t count);

    // Most tiles that reserve() may need, one for the end of the tokens before included.
    size_t limit() const { return count_; }

    // The next call's tokens, as many as all runs have, then fall into the tiles after the first `used` cells:
    // each run begins a tile. The cells before are the only ones in use.
    void reserve(size_t used, const std::vector<size_t> & runs);
    void release();

private:
    Engine & engine_;
    llama_seq_id first_;
    size_t count_;
    std::vector<uint8_t> tile_;
    llama_seq_id placed_ = 0;
};

}
