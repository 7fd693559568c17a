// Rows of tokens that begin alike, laid out so that every shared token stands once.
#pragma once

#include "llama.h"

#include <cstddef>
#include <cstdint>
#include <vector>

namespace bench {

struct Row {
    std::vector<llama_token> tokens;
    size_t wanted;  // logits are read from this token on
};

struct Node {
    llama_token token;
    size_t depth;  // index in its rows
    int32_t first_branch, branches;
    bool wanted;
};

struct Tree {
    std::vector<Node> nodes;  // each after those that it follows
    std::vector<std::vector<int32_t>> paths;  // row → its nodes
    int32_t branches = 0;
    size_t wanted = 0;
};

// A branch is a path from the root to a leaf: at most one a row.
Tree grow(const std::vector<Row> & rows);

}
