#pragma once

// Tiles of rows in shared memory and the fragments that tensor cores read from them, for the
// kernels of TF attention.  Fragments A, B, C: see device.cuh.

#include "kernels/cuda/device.cuh"

namespace treeformer::cuda {

constexpr int kTfThreads = 128;
constexpr int kTfRows = 64;      // of a tile
constexpr int kTfWarpRows = 16;  // of a tile, that a warp owns

// 64 rows of e bfloat16 in shared memory, in chunks of 16 bytes.
template <int e>
struct TfTile {
  static constexpr int kChunks = e / 8;
  static constexpr int kRowBytes = e * 2;
  static constexpr int kBytes = kTfRows * kRowBytes;
  static constexpr int kTurns = e % 64 == 0 ? 8 : 4;

  // Byte of a chunk.  LoadMatrix reads the same chunk of eight neighbouring rows at once: the
  // exclusive or puts them into different banks.
  DEVICE static int Offset(int row, int chunk) {
    const int turn = row / (8 / kTurns) % kTurns;
    return row * kRowBytes + (chunk ^ turn) * 16;
  }
  // Offset(row + 16 t, chunk + 2 k) for chunk 0 and 1, whose differences to Offset(row, chunk) are
  // constants when t and k are: one register serves a whole tile.
  DEVICE static int Offset(int row, int chunk, int t, int k) {
    const int pairs = kTurns / 2;
    return (Offset(row, chunk) ^ k % pairs * 32) + k / pairs * pairs * 32 + t * 16 * kRowBytes;
  }
};

// A [16, 16] = rows [16 t, 16 t + 16), columns [16 k, 16 k + 16) of the tile.
template <int e>
DEVICE void LoadA(uint32_t (&a)[4], const char* tile, int t, int k) {
  const int lane = device::Lane();
  device::LoadMatrix(a, tile + TfTile<e>::Offset(lane % 16, lane / 16, t, k));
}
// Two B [16, 8] side by side = the transpose of the same.
template <int e>
DEVICE void LoadTransposedB(uint32_t (&b)[4], const char* tile, int t, int k) {
  const int lane = device::Lane();
  device::LoadMatrix(b, tile + TfTile<e>::Offset(lane % 8 + lane / 16 * 8, lane / 8 % 2, t, k));
}
// Two B [16, 8] side by side = the same.
template <int e>
DEVICE void LoadB(uint32_t (&b)[4], const char* tile, int t, int k) {
  const int lane = device::Lane();
  device::LoadMatrixTransposed(b, tile + TfTile<e>::Offset(lane % 16, lane / 16, t, k));
}
// Two C [16, 8] side by side, rounded, as A [16, 16].
DEVICE void PackA(uint32_t (&a)[4], const float (&left)[4], const float (&right)[4]) {
  a[0] = device::PackBFloat16(left[0], left[1]);
  a[1] = device::PackBFloat16(left[2], left[3]);
  a[2] = device::PackBFloat16(right[0], right[1]);
  a[3] = device::PackBFloat16(right[2], right[3]);
}

// C [16, e] += A [16, 16] times rows [16 t, 16 t + 16) of the tile.
template <int e>
DEVICE void AddProduct(float (&c)[e / 8][4], const uint32_t (&a)[4], const char* tile, int t) {
#pragma unroll
  for (int k = 0; k < e / 16; ++k) {
    uint32_t b[4];
    LoadB<e>(b, tile, t, k);
    device::MultiplyAdd(c[2 * k], a, b[0], b[1]);
    device::MultiplyAdd(c[2 * k + 1], a, b[2], b[3]);
  }
}

// A warp's 16 own rows as fragments A: kept in registers, or read again at every use.
template <int e, bool kInRegisters>
class TfOwnFragments {
 public:
  DEVICE void Read(const char* tile) {
    tile_ = tile;
    if constexpr (kInRegisters) {
#pragma unroll
      for (int k = 0; k < e / 16; ++k) LoadA<e>(a_[k], tile, device::Warp(), k);
    }
  }
  // Two C [16, 8] side by side += own rows times the transpose of rows
  // [16 t, 16 t + 16) of `tile`.
  DEVICE void AddProducts(float (&left)[4], float (&right)[4], const char* tile, int t) const {
#pragma unroll
    for (int k = 0; k < e / 16; ++k) {
      uint32_t b[4];
      LoadTransposedB<e>(b, tile, t, k);
      if constexpr (kInRegisters) {
        device::MultiplyAdd(left, a_[k], b[0], b[1]);
        device::MultiplyAdd(right, a_[k], b[2], b[3]);
      } else {
        uint32_t a[4];
        LoadA<e>(a, tile_, device::Warp(), k);
        device::MultiplyAdd(left, a, b[0], b[1]);
        device::MultiplyAdd(right, a, b[2], b[3]);
      }
    }
  }

 private:
  const char* tile_ = nullptr;
  uint32_t a_[kInRegisters ? e / 16 : 1][4];
};

}  // namespace treeformer::cuda
