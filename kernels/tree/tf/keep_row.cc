#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/tree/tf/keep_row.cc"
#include "kernels/tree/tf/keep_row.h"

// clang-format off
#include <hwy/foreach_target.h>  // first
#include <hwy/highway.h>
#include "kernels/base/philox-inl.h"
// clang-format on

#include <algorithm>
#include <cmath>

HWY_BEFORE_NAMESPACE();
namespace treeformer::cpu::HWY_NAMESPACE {

void ScatteredBits(uint32_t* bits, const RandomKey& key, uint64_t row_index,
                   const int32_t* position, int64_t count) {
  const Wide d;
  const int64_t lanes = hn::Lanes(d);
  for (int64_t c = 0; c < count; c += lanes) {
    HWY_ALIGN uint64_t index[8];
    for (int64_t lane = 0; lane < lanes; ++lane) {
      index[lane] = row_index + position[std::min(c + lane, count - 1)];
    }
    const WideVec i = hn::Load(d, index);
    const Block out = Philox(d, key, hn::ShiftRight<2>(i));
    const auto odd = hn::Ne(hn::And(i, hn::Set(d, 1)), hn::Zero(d));
    const auto upper = hn::Ne(hn::And(i, hn::Set(d, 2)), hn::Zero(d));
    const WideVec word = hn::IfThenElse(upper, hn::IfThenElse(odd, out.word3, out.word2),
                                        hn::IfThenElse(odd, out.word1, out.word0));
    hn::StoreU(Low(word), Words(), bits + c);
  }
}

void Keep(float* keep, const Dropout& dropout, uint64_t row_index, const int32_t* position,
          int64_t columns) {
  if (columns == 0) return;
  uint32_t bits[kMaxKeepRow + 64];  // whole vectors of blocks on both sides
  const uint32_t* first = bits;
  const uint64_t index = dropout.offset + row_index;
  if (position[columns - 1] - position[0] == columns - 1) {
    NeighbourBits(bits, dropout.key, index + position[0], columns);
    first = bits + (index + position[0]) % 4;
  } else {
    ScatteredBits(bits, dropout.key, index, position, columns);
  }
  // (bits >> 8) 2^-24 >= rate, in whole numbers
  const uint32_t threshold = static_cast<uint32_t>(std::ceil(dropout.rate * 0x1p24)) << 8;
  const float scale = dropout.scale();
  for (int64_t c = 0; c < columns; ++c) keep[c] = first[c] >= threshold ? scale : 0;
}

}  // namespace treeformer::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace treeformer::cpu {

HWY_EXPORT(Keep);

void KeepRow(float* keep, const Dropout& dropout, uint64_t row_index, const int32_t* position,
             int64_t columns) {
  HWY_DYNAMIC_DISPATCH(Keep)(keep, dropout, row_index, position, columns);
}

}  // namespace treeformer::cpu
#endif  // HWY_ONCE
