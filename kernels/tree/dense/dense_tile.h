#pragma once

// The work on one tile of pairs for DenseLeafEffects, vectorised over the keys.

#include <cstdint>
#include <vector>

#include "kernels/tree/dense/dense_effects.h"

namespace treeformer::cpu {

constexpr int64_t kDenseQueries = 64, kDenseKeys = 256;

// Rows and columns are sorted by leaf.  Columns are readable up to a multiple of 16.
struct DenseTile {
  int64_t rows, columns;
  const float *lse, *delta;                    // [rows]
  const int32_t *query_leaf, *query_position;  // [rows]
  const int32_t *key_leaf, *key_position;      // [columns]
};

// The columns, or rows, [begin, end) of one leaf.
struct LeafRun {
  int32_t leaf;
  int64_t begin, end;
};

// S [rows, kDenseKeys] becomes X = w (dP - D); 0 where causality hides the key.
void DenseTileTerms(float* S, const float* dP, const DenseTile& tile, const DenseOptions& options);

// effect[leaf] += sum of the leaf's columns of one row of X
void AddLeafSums(float* effect, const float* X, const std::vector<LeafRun>& leaves);

}  // namespace treeformer::cpu
