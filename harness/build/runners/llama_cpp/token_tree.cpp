#include "token_tree.hpp"

#include <algorithm>
#include <numeric>

namespace bench {

namespace {

size_t common(const std::vector<llama_token> & one, const std::vector<llama_token> & other) {
    const size_t shorter = std::min(one.size(), other.size());
    return size_t(std::mismatch(one.begin(), one.begin() + long(shorter), other.begin()).first - one.begin());
}

// Sorted, the rows of a node are neighbours, and so are its branches.
std::vector<size_t> sorted(const std::vector<Row> & rows) {
    std::vector<size_t> order(rows.size());
    std::iota(order.begin(), order.end(), size_t(0));
    std::stable_sort(order.begin(), order.end(), [&](size_t one, size_t other) {
        return rows[one].tokens < rows[other].tokens;
    });
    return order;
}

}

Tree grow(const std::vector<Row> & rows) {
    Tree tree;
    tree.paths.resize(rows.size());
    const Row no_row{};
    const Row * before = &no_row;
    std::vector<int32_t> path;
    for (const size_t i : sorted(rows)) {
        const Row & row = rows[i];
        const size_t shared = common(before->tokens, row.tokens);
        if (before == &no_row || shared < before->tokens.size()) {
            ++tree.branches;
            for (size_t k = 0; k < shared; ++k) {
                ++tree.nodes[size_t(path[k])].branches;
            }
        }
        path.resize(shared);
        for (size_t k = shared; k < row.tokens.size(); ++k) {
            path.push_back(int32_t(tree.nodes.size()));
            tree.nodes.push_back({row.tokens[k], k, tree.branches - 1, 1, false});
        }
        for (size_t k = row.wanted; k < path.size(); ++k) {
            Node & node = tree.nodes[size_t(path[k])];
            tree.wanted += node.wanted ? 0 : 1;
            node.wanted = true;
        }
        tree.paths[i] = path;
        before = &row;
    }
    return tree;
}

}
