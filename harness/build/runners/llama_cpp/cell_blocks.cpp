#include "cell_blocks.hpp"

#include "token_batch.hpp"

#include <stdexcept>

namespace bench {

CellBlocks::CellBlocks(Engine & engine, llama_seq_id first, size_t count)
    : engine_(engine), first_(first), count_(count) {
    engine_.clear_memory();
    TokenBatch batch(kTile);
    for (size_t i = 0; i < kTile; ++i) {
        batch.add(0, llama_pos(i), first_, i + 1 == kTile);
    }
    engine_.decode(batch.all());
    tile_ = engine_.save(first_);
    engine_.clear_memory();
}

void CellBlocks::reserve(size_t used, const std::vector<size_t> & runs) {
    const llama_memory_t memory = engine_.memory();
    const size_t begun = used % kTile;
    size_t needed = begun ? 1 : 0;
    for (const size_t run : runs) {
        needed += tiles(run);
    }
    if (needed > count_) {
        throw std::logic_error("more tiles than sequences");
    }
    placed_ = 0;
    if (begun) {
        engine_.restore(first_ + placed_, tile_);
        llama_memory_seq_rm(memory, first_ + placed_++, llama_pos(kTile - begun), -1);
    }
    llama_seq_id hole = first_ + placed_;
    while (size_t(placed_) < needed) {
        engine_.restore(first_ + placed_++, tile_);
    }
    for (const size_t run : runs) {
        for (size_t left = run; left > 0; ++hole) {
            const size_t cells = left < kTile ? left : kTile;
            llama_memory_seq_rm(memory, hole, 0, llama_pos(cells));
            left -= cells;
        }
    }
}

void CellBlocks::release() {
    for (; placed_ > 0; --placed_) {
        llama_memory_seq_rm(engine_.memory(), first_ + placed_ - 1, -1, -1);
    }
}

}
