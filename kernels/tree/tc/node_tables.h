#pragma once

// Tables with a row per node of a tree, all levels, breadth first: sums from the leaves upwards,
// and sums along the path to every leaf.  One thread's memory for TC-Attention.

#include <glog/logging.h>

#include <algorithm>
#include <cstdint>
#include <vector>

#include "kernels/matmul/tile_gemm.h"
#include "kernels/tree/head_rows.h"
#include "kernels/tree/tree_shape.h"

namespace treeformer::cpu {

// All nodes of one tree, level by level; a table holds `width` floats a node.
class NodeTable {
 public:
  NodeTable(const TreeShape& shape, int64_t width)
      : shape_(shape), width_(width), data_(shape.total_nodes() * width) {
    for (int l = 0; l <= shape.height(); ++l) first_.push_back(shape.FirstNode(l));
    first_.push_back(shape.total_nodes());
  }

  float* row(int64_t node) { return data_.data() + node * width_; }
  const float* row(int64_t node) const { return data_.data() + node * width_; }
  float* leaf(int64_t m) { return row(first_.rbegin()[1] + m); }
  const float* leaf(int64_t m) const { return row(first_.rbegin()[1] + m); }

  void Clear() { std::fill(data_.begin(), data_.end(), 0.0f); }
  // Every node = the sum of its children.  The leaves are given, the others were cleared.
  void SumUp() {
    for (int l = shape_.height() - 1; l >= 0; --l) {
      for (int64_t child = first_[l + 1]; child < first_[l + 2]; ++child) {
        AddTo(row(Parent(l + 1, child)), row(child), /*factor=*/1, width_);
      }
    }
  }
  // Every node = the sum along its path from the root.
  void FoldDown() {
    for (int l = 1; l <= shape_.height(); ++l) {
      for (int64_t node = first_[l]; node < first_[l + 1]; ++node) {
        AddTo(row(node), row(Parent(l, node)), /*factor=*/1, width_);
      }
    }
  }
  // visit(level, node) for all nodes
  template <typename Visit>
  void ForEachNode(const Visit& visit) const {
    for (int l = 0; l <= shape_.height(); ++l) {
      for (int64_t node = first_[l]; node < first_[l + 1]; ++node) visit(l, node);
    }
  }

 private:
  int64_t Parent(int level, int64_t node) const {
    return first_[level - 1] + (node - first_[level]) / shape_.branching[level - 1];
  }

  const TreeShape& shape_;
  int64_t width_;
  std::vector<int64_t> first_;  // [h + 2]
  std::vector<float> data_;
};

inline void Scale(float* x, float factor, int64_t count) {
  for (int64_t c = 0; c < count; ++c) x[c] *= factor;
}

// The tables of one document.
struct Tables {
  Tables(const TreeShape& shape, int64_t e)
      : count(shape, 1), mean(shape, e), query_sum(shape, e), folded(shape, e), offset(shape, 1) {}

  NodeTable count, mean;  // of keys, nu
  NodeTable query_sum;    // sum of dO
  NodeTable folded, offset;
};

// count and nu of the keys [begin, end)
inline void NodeMeans(Tables& tables, const HeadRows& v, const int32_t* key_leaf, int64_t begin,
                      int64_t end, int64_t e) {
  tables.count.Clear();
  tables.mean.Clear();
  for (int64_t j = begin; j < end; ++j) {
    CHECK_GE(key_leaf[j], 0) << "a token of a document has a leaf";
    ++*tables.count.leaf(key_leaf[j]);
    AddTo(tables.mean.leaf(key_leaf[j]), v.row(j), /*factor=*/1, e);
  }
  tables.count.SumUp();
  tables.mean.SumUp();
  tables.mean.ForEachNode([&](int, int64_t node) {
    Scale(tables.mean.row(node), 1 / std::max(*tables.count.row(node), 1.0f), e);
  });
}

// folded = sum of alpha nu along the path: what a query in the leaf gets.
inline void FoldMeans(Tables& tables, const float* alpha, int64_t e) {
  tables.folded.ForEachNode([&](int level, int64_t node) {
    std::copy_n(tables.mean.row(node), e, tables.folded.row(node));
    Scale(tables.folded.row(node), alpha[level], e);
  });
  tables.folded.FoldDown();
}

}  // namespace treeformer::cpu
