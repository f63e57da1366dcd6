#pragma once

// Sums of the rows of every leaf as a product with a one-hot matrix, no sort:
//
//   sum [L, width] = [leaf_i = m] x     count [L] = [leaf_i = m] 1
//
// A block goes through the rows once for every 128 leaves and 64 columns; a warp owns 16 leaves.
// Products with 0 and 1 are exact, sums are float32, in a fixed order.  A row that is not finite
// reaches all leaves of its document (as it does in TC-Attention: through the root); rows outside
// of the range are not read.
//
//   x  rows of `e` bfloat16, `stride` apart: any e; multiples of 8 are copied in the background

#include "kernels/tree/tc/tc_sizes.cuh"

namespace treeformer::cuda {

constexpr int kTcTileRows = 64;
constexpr int kTcTileColumns = 64;
constexpr int kTcStages = 3;
constexpr int kTcWarps = kTcThreads / device::kWarpThreads;
constexpr int kTcTileLeaves = 16 * kTcWarps;
constexpr int kTcSumSharedBytes =
    kTcStages * kTcTileRows * (kTcTileColumns * 2 + static_cast<int>(sizeof(int32_t)));

struct TcRows {
  const BFloat16* x;    // of position 0
  const int32_t* leaf;  // of position 0
  int64_t stride;
  int e;

  DEVICE const BFloat16* row(int64_t i) const { return x + i * stride; }
};

// Columns [c, c + 8) of a row of e, zeros past its end.  Any alignment.
DEVICE device::Vector16 LoadEight(const BFloat16* row, int c, int e) {
  if (e % 8 == 0) return c < e ? device::Load<device::Vector16>(row + c) : device::Vector16{};
  float value[8];
#pragma unroll
  for (int k = 0; k < 8; ++k) value[k] = c + k < e ? device::ToFloat(row[c + k]) : 0;
  return device::Pack(value);
}
DEVICE void StoreEight(BFloat16* row, int c, int e, const device::Vector16& eight) {
  if (e % 8 == 0) {
    if (c < e) device::Store(row + c, eight);
    return;
  }
  float value[8];
  device::Unpack(value, eight);
#pragma unroll
  for (int k = 0; k < 8; ++k) {
    if (c + k < e) row[c + k] = device::ToBFloat16(value[k]);
  }
}

// The tiles of rows in shared memory; 16 bytes j of row r stand at j ^ (r % 8), so that the eight
// rows that one matrix is loaded from lie in different banks.
class TcTiles {
 public:
  DEVICE explicit TcTiles(device::SharedArrays& shared)
      : x_(shared.Take<BFloat16>(kTcStages * kTcTileRows * kTcTileColumns)),
        leaf_(shared.Take<int32_t>(kTcStages * kTcTileRows)) {}

  DEVICE const BFloat16* eight(int stage, int row, int j) const {
    return x_ + (stage * kTcTileRows + row) * kTcTileColumns + (j ^ (row % 8)) * 8;
  }
  DEVICE const int32_t* leaves(int stage) const { return leaf_ + stage * kTcTileRows; }

  // Begins to copy columns [column, + 64) of the rows from `begin`; closes no group.
  DEVICE void Fill(int stage, const TcRows& rows, int64_t begin, int64_t end, int column) {
    constexpr int kEights = kTcTileColumns / 8;
    const bool in_background = rows.e % 8 == 0;
    for (int i = device::Thread(); i < kTcTileRows * kEights; i += kTcThreads) {
      const int r = i / kEights, c = column + i % kEights * 8;
      const bool there = begin + r < end && c < rows.e;
      BFloat16* to = const_cast<BFloat16*>(eight(stage, r, i % kEights));
      if (in_background) {
        device::CopyAsync16(to, there ? rows.row(begin + r) + c : rows.x, there);
      } else {
        device::Store(to, there ? LoadEight(rows.row(begin + r), c, rows.e) : device::Vector16{});
      }
    }
    for (int r = device::Thread(); r < kTcTileRows; r += kTcThreads) {
      leaf_[stage * kTcTileRows + r] = begin + r < end ? rows.leaf[begin + r] : -1;
    }
  }

 private:
  BFloat16* x_;
  int32_t* leaf_;
};

// Two bfloat16: 1 where the leaf is m.
DEVICE uint32_t OneHot(int32_t low, int32_t high, int m) {
  return (low == m ? 0x3f80u : 0u) | (high == m ? 0x3f800000u : 0u);
}

// Adds a tile: the warp's leaves from m0, columns [0, columns) of the tile.
DEVICE void AddTile(float (&sum)[8][4], float (&count)[4], const TcTiles& tiles, int stage, int m0,
                    int columns) {
  const int lane = device::Lane();
  const int32_t* leaf = tiles.leaves(stage);
#pragma unroll 1
  for (int k0 = 0; k0 < kTcTileRows; k0 += 16) {
    const int k = k0 + lane % 4 * 2, m = m0 + lane / 4;
    const int32_t low = leaf[k], high = leaf[k + 1], low8 = leaf[k + 8], high8 = leaf[k + 9];
    const uint32_t a[4] = {OneHot(low, high, m), OneHot(low, high, m + 8), OneHot(low8, high8, m),
                           OneHot(low8, high8, m + 8)};
    constexpr uint32_t kOnes = 0x3f803f80;
    device::MultiplyAdd(count, a, kOnes, kOnes);
#pragma unroll
    for (int j = 0; j < kTcTileColumns / 16; ++j) {
      if (16 * j >= columns) continue;
      uint32_t b[4];
      device::LoadMatrixTransposed(b, tiles.eight(stage, k0 + lane % 16, 2 * j + lane / 16));
      device::MultiplyAdd(sum[2 * j], a, b[0], b[1]);
      device::MultiplyAdd(sum[2 * j + 1], a, b[2], b[3]);
    }
  }
}

// The block sums columns [column, + 64) of the rows for the leaves [first_leaf, + 128).
DEVICE void SumTiles(float* sum_out, float* count_out, const TcRows& rows, TokenRange range,
                     const TcSizes& sizes, TcTiles& tiles, int first_leaf, int column) {
  const int lane = device::Lane(), m0 = first_leaf + 16 * device::Warp();
  const int columns = std::min(int{kTcTileColumns}, sizes.width - column);
  const int64_t tile_count = DivideUp(range.end - range.begin, kTcTileRows);
  const auto fill = [&](int64_t tile) {
    if (tile < tile_count) {
      tiles.Fill(static_cast<int>(tile % kTcStages), rows, range.begin + tile * kTcTileRows,
                 range.end, column);
    }
    device::CommitCopies();
  };
  float sum[8][4] = {}, count[4] = {};
  for (int64_t tile = 1 - kTcStages; tile < tile_count; ++tile) {
    if (tile >= 0) {
      device::WaitCopies<kTcStages - 2>();
      device::BlockBarrier();  // the tile is there, and the one before it is no longer read
    }
    fill(tile + kTcStages - 1);
    if (tile >= 0 && m0 < sizes.leaves) {
      AddTile(sum, count, tiles, static_cast<int>(tile % kTcStages), m0, columns);
    }
  }
  device::WaitCopies<0>();
  device::BlockBarrier();
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    const int m = m0 + lane / 4 + 8 * half;
    if (m >= sizes.leaves) continue;
    float* row = sum_out + int64_t{m} * sizes.width + column + lane % 4 * 2;
#pragma unroll
    for (int j = 0; j < 8; ++j) {
      if (8 * j >= columns) continue;
      row[8 * j] = sum[j][2 * half];
      row[8 * j + 1] = sum[j][2 * half + 1];
    }
    if (count_out != nullptr && column == 0 && lane % 4 == 0) count_out[m] = count[2 * half];
  }
}

// All threads of the block, for a range that is not empty; count may be null.  A barrier comes
// before the first write, so that the block may still be reading the last document's tables; ends
// without one.
DEVICE void SumLeaves(float* sum, float* count, const TcRows& rows, TokenRange range,
                      const TcSizes& sizes, TcTiles& tiles) {
  for (int leaf = 0; leaf < sizes.leaves; leaf += kTcTileLeaves) {
    for (int column = 0; column < sizes.width; column += kTcTileColumns) {
      SumTiles(sum, count, rows, range, sizes, tiles, leaf, column);
    }
  }
}

}  // namespace treeformer::cuda
