#pragma once

// What the kernels of TF attention (tf_attention.h) share.
//
// Rows of q, k, v, ... are bfloat16 [B, n, H, e].  A block owns 64 neighbouring slots of one list
// (b, h) in the order of the leaves, a warp 16 of them.  The rows of the other side that they meet
// lie in ONE range of slots, the hull of their own ranges: it streams through shared memory in
// tiles of 64, gathered by position.  So small leaves share a tile, and the mask is two comparisons
// with a row's own range.  A warp skips slices of 16 columns that none of its rows meets.
// Causal attention is the same with smaller ranges.  Those, and the order in which blocks own
// slots: tf_schedule_kernels.cuh.

#include <cstdint>
#include <limits>

#include "kernels/base/random.h"
#include "kernels/tree/tf/tf_fragments.cuh"

namespace treeformer::cuda {

constexpr float kLog2E = 1.44269504f;

// The rows of one side by leaf.
struct TfSide {
  const int32_t* order;  // [B, H, n]: positions
  // For kernels whose blocks own rows of this side; for others null.
  const int32_t* range;  // [B, H, n, 2]: slots of the other side that a slot's row meets
  const int32_t* units;  // [B H tiles]: block x owns slots 64 (u % tiles) .. of list u / tiles
};

// What every kernel reads.
struct TfProblem {
  const BFloat16 *q, *k, *v;  // [B, n, H, e]
  TfSide queries, keys;
  int n, H;
  int lists;    // B H
  int tiles;    // ceil(n / 64): units of one list
  float scale;  // 1 / sqrt(e)
  Dropout dropout;
};

// Slots [begin, end); of no slots begin is huge and end 0, so that hulls are minima and maxima.
struct TfRange {
  int begin = std::numeric_limits<int>::max(), end = 0;

  DEVICE static TfRange Of(int begin, int end) {
    return begin < end ? TfRange{begin, end} : TfRange();
  }
  DEVICE static TfRange Hull(TfRange a, TfRange b) {
    return {device::Min()(a.begin, b.begin), device::Max()(a.end, b.end)};
  }
  DEVICE bool Holds(int slot) const { return begin <= slot && slot < end; }
  DEVICE bool Meets(int first, int count) const { return begin < first + count && first < end; }
};

// All of a block's shared memory.
template <int e, int kOwnTiles>
struct TfShared {
  char own[kOwnTiles][TfTile<e>::kBytes];
  char x[2][TfTile<e>::kBytes], y[2][TfTile<e>::kBytes];  // streamed, two stages
  int position[4][kTfRows];                               // of streamed rows, tile t in t % 4
  float lse[2][kTfRows], delta[2][kTfRows];               // of streamed queries
  int own_position[kTfRows], own_begin[kTfRows], own_end[kTfRows];

  DEVICE static TfShared& OfBlock() { return *reinterpret_cast<TfShared*>(device::SharedMemory()); }
};

// Where row `position` of the list lies in x [B, n, H, e].
template <int e>
struct TfHead {
  int64_t begin, stride;

  DEVICE TfHead(const TfProblem& p, int list)
      : begin((int64_t{list / p.H} * p.n * p.H + list % p.H) * e), stride(int64_t{p.H} * e) {}
  template <typename T>
  DEVICE T* Row(T* x, int position) const {
    return x + begin + position * stride;
  }
};

// tile[r] = x[position[r]] for r < count, zeros behind.  Asynchronous; position is in shared
// memory.
template <int e>
DEVICE void GatherTile(char* tile, const BFloat16* x, const TfHead<e>& head, const int* position,
                       int count) {
  using Tile = TfTile<e>;
#pragma unroll 2
  for (int i = 0; i < kTfRows * Tile::kChunks / kTfThreads; ++i) {
    const int item = device::Thread() + i * kTfThreads;
    const int row = item / Tile::kChunks, chunk = item % Tile::kChunks;
    device::CopyAsync16(tile + Tile::Offset(row, chunk), head.Row(x, position[row]) + chunk * 8,
                        row < count);
  }
}

// The slots that a block owns.
class TfOwnRows {
 public:
  // Ends with a barrier.
  template <typename Shared>
  DEVICE TfOwnRows(Shared& shared, const TfProblem& p, const TfSide& side)
      : TfOwnRows(shared, p, side, side.units[device::BlockX()]) {}

  const int list;  // b H + h
  int count;       // of rows, at most 64

  DEVICE const int* position() const { return position_; }
  DEVICE TfRange range(int row) const { return {begin_[row], end_[row]}; }
  // Collective: the hulls of all rows' ranges, of the warp's rows' ranges.
  DEVICE TfRange BlockHull() const {
    const int lane = device::Lane();
    return Hull(TfRange::Hull(range(lane), range(lane + device::kWarpThreads)));
  }
  DEVICE TfRange WarpHull() const {
    return Hull(range(device::Warp() * kTfWarpRows + device::Lane() % kTfWarpRows));
  }

 private:
  template <typename Shared>
  DEVICE TfOwnRows(Shared& shared, const TfProblem& p, const TfSide& side, int unit)
      : list(unit / p.tiles),
        position_(shared.own_position),
        begin_(shared.own_begin),
        end_(shared.own_end) {
    const int first = unit % p.tiles * kTfRows, thread = device::Thread();
    count = p.n - first < kTfRows ? p.n - first : kTfRows;
    if (thread < kTfRows) {
      const int64_t row = int64_t{list} * p.n + first + thread;
      const bool exists = thread < count;
      position_[thread] = exists ? side.order[row] : 0;
      const TfRange range =
          exists ? TfRange::Of(side.range[2 * row], side.range[2 * row + 1]) : TfRange();
      begin_[thread] = range.begin;
      end_[thread] = range.end;
    }
    device::BlockBarrier();
  }

  DEVICE static TfRange Hull(TfRange range) {
    return {device::WarpReduce(range.begin, device::Min()),
            device::WarpReduce(range.end, device::Max())};
  }

  int *position_, *begin_, *end_;
};

// A lane's two rows: those of its elements c / 2 = 0 and 1 of fragments C.
struct TfRowPair {
  TfRange range[2];
  int position[2];
  bool exists[2];

  DEVICE explicit TfRowPair(const TfOwnRows& own) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int row = device::Warp() * kTfWarpRows + device::Lane() / 4 + 8 * half;
      range[half] = own.range(row);
      position[half] = own.position()[row];
      exists[half] = row < own.count;
    }
  }
};

// The column of element c of fragment C number i.
DEVICE int TfColumn(int i, int c) { return i * 8 + device::Lane() % 4 * 2 + c % 2; }

// Collective, over the four lanes that share two rows.
template <typename Combine>
DEVICE float RowReduce(float value, const Combine& combine) {
  value = combine(value, device::ShuffleXor(value, 1));
  return combine(value, device::ShuffleXor(value, 2));
}

// The other side: tiles of rows of x and y, and their positions, through shared memory.  While a
// tile is worked on, the next one and the positions of the one after it are under way.
template <int e, int kOwnTiles>
class TfStream {
 public:
  // statistics: lse and delta [B, H, n] by position, copied along; null: not.
  DEVICE TfStream(TfShared<e, kOwnTiles>& shared, const TfProblem& p, int list, TfRange slots,
                  const int32_t* order, const BFloat16* x, const BFloat16* y,
                  const float* lse = nullptr, const float* delta = nullptr)
      : shared_(shared),
        head_(p, list),
        slots_(slots),
        order_(order + int64_t{list} * p.n),
        x_(x),
        y_(y),
        lse_(lse == nullptr ? nullptr : lse + int64_t{list} * p.n),
        delta_(delta == nullptr ? nullptr : delta + int64_t{list} * p.n) {}

  DEVICE int tiles() const {
    return slots_.begin < slots_.end ? (slots_.end - slots_.begin + kTfRows - 1) / kTfRows : 0;
  }
  DEVICE int first_slot(int tile) const { return slots_.begin + tile * kTfRows; }
  DEVICE const char* x(int tile) const { return shared_.x[tile % 2]; }
  DEVICE const char* y(int tile) const { return shared_.y[tile % 2]; }
  DEVICE int position(int tile, int column) const { return shared_.position[tile % 4][column]; }
  DEVICE float lse(int tile, int column) const { return shared_.lse[tile % 2][column]; }
  DEVICE float delta(int tile, int column) const { return shared_.delta[tile % 2][column]; }

  // Called once when there are tiles, by all threads: contains a barrier.
  DEVICE void Start() {
    const int thread = device::Thread();
    if (thread < kTfRows) {
      const int slot = slots_.begin + thread;
      shared_.position[0][thread] = slot < slots_.end ? order_[slot] : 0;
    }
    device::BlockBarrier();
    CopyTile(0);
  }

  // All threads: begins with a barrier, after which `tile` and all that was copied before Start can
  // be read, and what was read of the tile before it is done with.
  DEVICE void Await(int tile) {
    device::WaitCopies<0>();
    device::BlockBarrier();
    if (tile + 1 < tiles()) CopyTile(tile + 1);
  }

 private:
  // Its positions have arrived; those of the tile behind it are copied along.
  DEVICE void CopyTile(int tile) {
    const int first = first_slot(tile), thread = device::Thread();
    const int* position = shared_.position[tile % 4];
    GatherTile<e>(shared_.x[tile % 2], x_, head_, position, slots_.end - first);
    GatherTile<e>(shared_.y[tile % 2], y_, head_, position, slots_.end - first);
    if (thread < kTfRows) {
      const int slot = first + kTfRows + thread;
      const bool exists = slot < slots_.end;
      device::CopyAsync4(&shared_.position[(tile + 1) % 4][thread],
                         order_ + (exists ? slot : slots_.begin), exists);
      if (lse_ != nullptr) {
        const int row = position[thread];
        device::CopyAsync4(&shared_.lse[tile % 2][thread], lse_ + row, true);
        device::CopyAsync4(&shared_.delta[tile % 2][thread], delta_ + row, true);
      }
    }
    device::CommitCopies();
  }

  TfShared<e, kOwnTiles>& shared_;
  TfHead<e> head_;
  TfRange slots_;
  const int32_t* order_;
  const BFloat16 *x_, *y_;
  const float *lse_, *delta_;
};

// Bit 4 i + c: dropout keeps the pair of element c of fragment C number i, whose streamed row is
// first_column + TfColumn(i, c) of the tile; count bits.  A loop, as Philox takes many registers.
template <bool kOwnQueries, typename Stream>
DEVICE uint32_t KeepMask(const TfProblem& p, int list, const TfRowPair& rows, const Stream& stream,
                         int tile, int first_column, int count) {
  uint32_t mask = 0;
#pragma unroll 2
  for (int bit = 0; bit < count; ++bit) {
    const int streamed = stream.position(tile, first_column + TfColumn(bit / 4, bit % 4));
    const int own = bit % 4 < 2 ? rows.position[0] : rows.position[1];
    const int i = kOwnQueries ? own : streamed, j = kOwnQueries ? streamed : own;
    const bool keeps = p.dropout.Keeps((static_cast<uint64_t>(list) * p.n + i) * p.n + j);
    mask |= uint32_t{keeps} << bit;
  }
  return mask;
}

// x[position of own row] = factor C, rounded; factor [2] of rows l/4 and l/4 + 8.  Collective; goes
// through the warp's own rows of `tile`, which nobody needs any more.
template <int e>
DEVICE void StoreOwnRows(BFloat16* x, const float (&c)[e / 8][4], const float (&factor)[2],
                         char* tile, const TfHead<e>& head, const TfOwnRows& own) {
  using Tile = TfTile<e>;
  const int lane = device::Lane(), first = device::Warp() * kTfWarpRows;
  device::WarpBarrier();  // other lanes have read these rows as fragments
#pragma unroll
  for (int i = 0; i < Tile::kChunks; ++i) {
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      device::Store(
          tile + Tile::Offset(first + lane / 4 + 8 * half, i) + lane % 4 * 4,
          device::PackBFloat16(c[i][2 * half] * factor[half], c[i][2 * half + 1] * factor[half]));
    }
  }
  device::WarpBarrier();
#pragma unroll
  for (int i = 0; i < kTfWarpRows * Tile::kChunks / device::kWarpThreads; ++i) {
    const int item = lane + i * device::kWarpThreads;
    const int row = first + item / Tile::kChunks, chunk = item % Tile::kChunks;
    if (row < own.count) {
      device::Store(head.Row(x, own.position()[row]) + chunk * 8,
                    device::Load<device::Vector16>(tile + Tile::Offset(row, chunk)));
    }
  }
}

}  // namespace treeformer::cuda
