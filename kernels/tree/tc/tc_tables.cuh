#pragma once

// The table of one document in one head, built by one block from the sums of its leaves: sums of
// all nodes, and for every leaf the sums along its path (tc_attention.h has the equations):
//
//   folded        sum_l alpha_l nu_l                  what a query gets, and its effect's factor
//   dv            sum_l alpha_l q_l / count_l         what a key gets; q_l = sum dO of the node
//   joining       sum_l alpha_l q_l / (count_l + 1)   factor of a key's effect, less
//   offset        sum_l alpha_l <nu_l, q_l> / (count_l + 1)
//
// Tables that are looked up are bfloat16, as o and dv are.  The factors of the effects, which are
// products of matrices, are kept as the sum of two bfloat16 (16 bits of significand).

#include "kernels/tree/tc/tc_leaf_sums.cuh"

namespace treeformer::cuda {

constexpr int kTcGroup = 8;  // columns that one thread folds

// Every node = the sum of its children; the leaves are given.  All threads of the block; begins
// with a barrier and ends with one.  count may be null.
DEVICE void SumUp(float* sum, float* count, const TcSizes& sizes) {
  const int width = sizes.width;
  device::BlockBarrier();
  for (int level = sizes.levels - 2; level >= 0; --level) {
    const int first = sizes.first_node[level], children_begin = sizes.first_node[level + 1];
    const int node_count = children_begin - first;
    const int children = sizes.leaves_below[level] / sizes.leaves_below[level + 1];
    for (int i = device::Thread(); i < node_count * width; i += kTcThreads) {
      const int node = i / width;
      const float* child = sum + int64_t{children_begin + node * children} * width + i % width;
      float total = 0;
      for (int c = 0; c < children; ++c) total += child[int64_t{c} * width];
      sum[int64_t{first} * width + i] = total;
    }
    for (int node = device::Thread(); count != nullptr && node < node_count; node += kTcThreads) {
      float total = 0;
      for (int c = 0; c < children; ++c) total += count[children_begin + node * children + c];
      count[first + node] = total;
    }
    device::BlockBarrier();
  }
}

// value += factor * eight columns of a row
DEVICE void AddScaled(float (&value)[kTcGroup], float factor, const float* row) {
#pragma unroll
  for (int k = 0; k < kTcGroup; ++k) value[k] += factor * row[k];
}

// visit(leaf, column) for every leaf and every eighth column, over the threads of the block.
template <typename Visit>
DEVICE void ForEachGroup(const TcSizes& sizes, const Visit& visit) {
  const int groups = sizes.width / kTcGroup;
  for (int i = device::Thread(); i < sizes.leaves * groups; i += kTcThreads) {
    visit(i / groups, i % groups * kTcGroup);
  }
}

// folded [L, width] of sum, count [nodes, ...]
DEVICE void FoldMeans(BFloat16* folded, const float* sum, const float* count, const float* alpha,
                      const TcSizes& sizes) {
  ForEachGroup(sizes, [&](int leaf, int c) {
    float value[kTcGroup] = {};
    for (int l = 0; l < sizes.levels; ++l) {
      const int node = sizes.NodeAbove(leaf, l);
      AddScaled(value, alpha[l] / fmaxf(count[node], 1), sum + int64_t{node} * sizes.width + c);
    }
    device::Store(folded + int64_t{leaf} * sizes.width + c, device::Pack(value));
  });
}

// to [rows] = table[leaf of the row]
DEVICE void LookUp(BFloat16* to, const BFloat16* table, const int32_t* leaf, TokenRange rows,
                   const TcSizes& sizes) {
  const int groups = sizes.width / kTcGroup;
  const int64_t count = (rows.end - rows.begin) * groups;
  for (int64_t k = device::Thread(); k < count; k += kTcThreads) {
    const int64_t i = rows.begin + k / groups;
    const int c = static_cast<int>(k % groups) * kTcGroup;
    StoreEight(to + i * sizes.stride(), c, sizes.e,
               device::Load<device::Vector16>(table + int64_t{leaf[i]} * sizes.width + c));
  }
}

DEVICE void ZeroRows(BFloat16* to, TokenRange rows, const TcSizes& sizes) {
  const int groups = sizes.width / kTcGroup;
  const int64_t count = (rows.end - rows.begin) * groups;
  for (int64_t k = device::Thread(); k < count; k += kTcThreads) {
    StoreEight(to + (rows.begin + k / groups) * sizes.stride(),
               static_cast<int>(k % groups) * kTcGroup, sizes.e, device::Vector16{});
  }
}

// A table as the sum of two.
struct TwoBFloat16 {
  BFloat16 *high, *low;  // [L, width]

  DEVICE void Store(int64_t at, const float (&value)[kTcGroup]) const {
    float rest[kTcGroup], rounded[kTcGroup];
    const device::Vector16 high_words = device::Pack(value);
    device::Unpack(rounded, high_words);
#pragma unroll
    for (int k = 0; k < kTcGroup; ++k) rest[k] = value[k] - rounded[k];
    device::Store(high + at, high_words);
    device::Store(low + at, device::Pack(rest));
  }
};

// All that backward keeps of one document.
struct TcTables {
  float *sum, *query_sum;  // [nodes, width] of v and of dO
  float *count, *dot;      // [nodes]; dot = <nu, query_sum>
  BFloat16* dv;            // [L, width]
  TwoBFloat16 folded, joining;
  float* offset;  // [L]
};

// dot from the sums.  Each warp its nodes; ends with a barrier.
DEVICE void NodeProducts(const TcTables& tables, const TcSizes& sizes) {
  for (int node = device::Warp(); node < sizes.nodes; node += kTcWarps) {
    const int64_t row = int64_t{node} * sizes.width;
    float product = 0;
    for (int c = device::Lane(); c < sizes.width; c += device::kWarpThreads) {
      product += tables.sum[row + c] * tables.query_sum[row + c];
    }
    product = device::WarpSum(product) / fmaxf(tables.count[node], 1);
    if (device::Lane() == 0) tables.dot[node] = product;
  }
  device::BlockBarrier();
}

// dalpha [levels] += the sums of dot over the nodes of a level.  Each warp its levels.
DEVICE void AddLevels(float* dalpha, const TcTables& tables, const TcSizes& sizes) {
  for (int l = device::Warp(); l < sizes.levels; l += kTcWarps) {
    float sum = 0;
    for (int node = sizes.first_node[l] + device::Lane(); node < sizes.first_node[l + 1];
         node += device::kWarpThreads) {
      sum += tables.dot[node];
    }
    sum = device::WarpSum(sum);
    if (device::Lane() == 0) dalpha[l] += sum;
  }
}

DEVICE void FoldGradients(const TcTables& tables, const float* alpha, const TcSizes& sizes) {
  ForEachGroup(sizes, [&](int leaf, int c) {
    float folded[kTcGroup] = {}, dv[kTcGroup] = {}, joining[kTcGroup] = {}, offset = 0;
#pragma unroll 1
    for (int l = 0; l < sizes.levels; ++l) {
      const int node = sizes.NodeAbove(leaf, l);
      const int64_t row = int64_t{node} * sizes.width + c;
      const float count = tables.count[node], own = alpha[l] / fmaxf(count, 1);
      const float joined = alpha[l] / (count + 1);
      AddScaled(folded, own, tables.sum + row);
      AddScaled(dv, own, tables.query_sum + row);
      AddScaled(joining, joined, tables.query_sum + row);
      offset += joined * tables.dot[node];
    }
    const int64_t at = int64_t{leaf} * sizes.width + c;
    tables.folded.Store(at, folded);
    tables.joining.Store(at, joining);
    device::Store(tables.dv + at, device::Pack(dv));
    if (c == 0) tables.offset[leaf] = offset;
  });
}

// From the leaf rows of sum, count, query_sum to everything.  Begins and ends with a barrier.
DEVICE void BuildTables(const TcTables& tables, float* dalpha, const float* alpha,
                        const TcSizes& sizes) {
  SumUp(tables.sum, tables.count, sizes);
  SumUp(tables.query_sum, /*count=*/nullptr, sizes);
  NodeProducts(tables, sizes);
  AddLevels(dalpha, tables, sizes);
  FoldGradients(tables, alpha, sizes);
  device::BlockBarrier();
}

}  // namespace treeformer::cuda
