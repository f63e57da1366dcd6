#pragma once

// The effects of all leaves on the rows of one document: products of 16 rows with the factors of
// 32 leaves at a time, a warp each, both factors straight from global memory (they stay in L1).
//
//   query i   <dO_i, folded_m>
//   key j     <v_j, joining_m> - offset_m
//             + sum of what_l over the levels l where m shares the node of j,
//             what_l = alpha_l (<v_j, q_l> - <nu_l, q_l>) / (count_l (count_l + 1)):
//             where j already is, count stands instead of count + 1

#include "kernels/tree/tc/tc_tables.cuh"

namespace treeformer::cuda {

constexpr int kTcEffectRows = 16;
constexpr int kTcEffectTiles = 4;  // of eight leaves

// A warp's rows: the nodes of the path of row r, and what they add.  [rows, levels]
struct TcOwnPaths {
  int* first_leaf;  // of the node
  float* what;
};
constexpr int TcPathSharedBytes(int levels) {
  return kTcWarps * kTcEffectRows * levels * static_cast<int>(sizeof(int) + sizeof(float));
}
DEVICE TcOwnPaths TakePaths(device::SharedArrays& shared, const TcSizes& sizes) {
  const int per_warp = kTcEffectRows * sizes.levels, offset = device::Warp() * per_warp;
  int* first_leaf = shared.Take<int>(kTcWarps * per_warp);
  float* what = shared.Take<float>(kTcWarps * per_warp);
  return {first_leaf + offset, what + offset};
}

// Columns c, c + 1 of a row of e, zeros past its end.
DEVICE uint32_t LoadTwo(const BFloat16* row, int c, int e) {
  if (e % 2 == 0) return c < e ? device::Load<uint32_t>(row + c) : 0;
  const uint32_t low = c < e ? row[c].bits : 0, high = c + 1 < e ? row[c + 1].bits : 0;
  return low | high << 16;
}

// Rows [begin, end), 16 at most, from column k0 on, as the left factor.
DEVICE void LoadRows(uint32_t (&a)[4], const TcRows& x, int64_t begin, int64_t end, int k0) {
  const int c = k0 + device::Lane() % 4 * 2;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int64_t i = begin + device::Lane() / 4 + 8 * half;
    const bool there = i < end;
    a[half] = there ? LoadTwo(x.row(i), c, x.e) : 0;
    a[half + 2] = there ? LoadTwo(x.row(i), c + 8, x.e) : 0;
  }
}

// product = x factor^T for the rows from `begin` and the leaves from first_leaf.
DEVICE void Multiply(float (&product)[kTcEffectTiles][4], const TcRows& x, TokenRange rows,
                     const TwoBFloat16& factor, int first_leaf, const TcSizes& sizes) {
  const int lane = device::Lane();
#pragma unroll 1
  for (int k0 = 0; k0 < sizes.width; k0 += 16) {
    uint32_t a[4];
    LoadRows(a, x, rows.begin, rows.end, k0);
#pragma unroll
    for (int tile = 0; tile < kTcEffectTiles; ++tile) {
      if (first_leaf + 8 * tile >= sizes.leaves) continue;
      const int m = first_leaf + 8 * tile + lane / 4;
      const int64_t at = int64_t{m} * sizes.width + k0 + lane % 4 * 2;
      const bool there = m < sizes.leaves;
      const auto add = [&](const BFloat16* table) {
        device::MultiplyAdd(product[tile], a, there ? device::Load<uint32_t>(table + at) : 0,
                            there ? device::Load<uint32_t>(table + at + 8) : 0);
      };
      add(factor.low);
      add(factor.high);
    }
  }
}

// What the own nodes of the keys [begin, end), 16 at most, add.  Collective.
DEVICE void FindOwnPaths(TcOwnPaths paths, const TcTables& tables, const TcRows& v, TokenRange keys,
                         const float* alpha, const TcSizes& sizes) {
  device::WarpBarrier();  // the last rows' paths are no longer read
  for (int64_t j = keys.begin; j < keys.end; ++j) {
    const int row = static_cast<int>(j - keys.begin) * sizes.levels;
    for (int l = 0; l < sizes.levels; ++l) {
      const int node = sizes.NodeAbove(v.leaf[j], l);
      const float* query_sum = tables.query_sum + int64_t{node} * sizes.width;
      float product = 0;
      for (int c = device::Lane(); c < sizes.e; c += device::kWarpThreads) {
        product += device::ToFloat(v.row(j)[c]) * query_sum[c];
      }
      product = device::WarpSum(product);
      if (device::Lane() != 0) continue;
      const float count = tables.count[node];
      paths.first_leaf[row + l] = (node - sizes.first_node[l]) * sizes.leaves_below[l];
      paths.what[row + l] = alpha[l] * (product - tables.dot[node]) / (count * (count + 1));
    }
  }
  device::WarpBarrier();
}

// What the nodes that leaf m shares with row r add.
DEVICE float SharedPath(TcOwnPaths paths, int r, int m, const TcSizes& sizes) {
  float sum = 0;
#pragma unroll 1
  for (int l = 0; l < sizes.levels; ++l) {
    const int distance = m - paths.first_leaf[r * sizes.levels + l];
    const bool shared = 0 <= distance && distance < sizes.leaves_below[l];
    sum += shared ? paths.what[r * sizes.levels + l] : 0;
  }
  return sum;
}

// effect [n, L] of the head, rows of the product.
template <typename Correct>
DEVICE void StoreEffects(float* effect, const float (&product)[kTcEffectTiles][4], TokenRange rows,
                         int first_leaf, const TcSizes& sizes, const Correct& correct) {
  const int lane = device::Lane();
#pragma unroll
  for (int tile = 0; tile < kTcEffectTiles; ++tile) {
#pragma unroll
    for (int k = 0; k < 4; ++k) {
      const int m = first_leaf + 8 * tile + lane % 4 * 2 + k % 2, r = lane / 4 + k / 2 * 8;
      const int64_t i = rows.begin + r;
      if (m >= sizes.leaves || i >= rows.end) continue;
      effect[i * sizes.leaves + m] = product[tile][k] + correct(r, m);
    }
  }
}

// visit(rows) for the warp's sixteens of the rows.
template <typename Visit>
DEVICE void ForEachSixteen(TokenRange rows, const Visit& visit) {
  for (int64_t begin = rows.begin + device::Warp() * kTcEffectRows; begin < rows.end;
       begin += kTcWarps * kTcEffectRows) {
    visit(TokenRange{begin, std::min(begin + kTcEffectRows, rows.end)});
  }
}

// Effects of queries (x is dO), or of keys (x is v), whose own paths count differently.
DEVICE void RowEffects(float* effect, bool keys, TcOwnPaths paths, const TcTables& tables,
                       const TcRows& x, TokenRange rows, const float* alpha, const TcSizes& sizes) {
  const TwoBFloat16 factor = keys ? tables.joining : tables.folded;
  ForEachSixteen(rows, [&](TokenRange some) {
    if (keys) FindOwnPaths(paths, tables, x, some, alpha, sizes);
#pragma unroll 1
    for (int leaf = 0; leaf < sizes.leaves; leaf += 8 * kTcEffectTiles) {
      float product[kTcEffectTiles][4] = {};
      Multiply(product, x, some, factor, leaf, sizes);
      StoreEffects(effect, product, some, leaf, sizes, [&](int r, int m) {
        return keys ? SharedPath(paths, r, m, sizes) - tables.offset[m] : 0;
      });
    }
  });
}

DEVICE void ZeroEffects(float* effect, TokenRange rows, const TcSizes& sizes) {
  for (int64_t k = rows.begin * sizes.leaves + device::Thread(); k < rows.end * sizes.leaves;
       k += kTcThreads) {
    effect[k] = 0;
  }
}

}  // namespace treeformer::cuda
