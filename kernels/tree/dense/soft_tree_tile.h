#pragma once

// The dense gradient of one tree for a tile of kSoftRows rows, vectorised over the rows.

#include <cstdint>

namespace treeformer::cpu {

constexpr int64_t kSoftRows = 64;

struct SoftTile {
  float* f;               // [P, kSoftRows] scores without bias; becomes df
  const float* bias;      // [P]
  const float* effect;    // [L, kSoftRows]
  const float* strength;  // [kSoftRows], finite; 0: df = 0
  const int32_t* leaf;    // [kSoftRows], any leaf where the strength is 0
  int64_t leaves;         // L = P + 1
};

// `memory` [2 (P + L), kSoftRows]
void SoftTileBackward(const SoftTile& tile, float* memory);

}  // namespace treeformer::cpu
