#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/tree/keep_row.cc"
#include "kernels/tree/keep_row.h"

#include <hwy/foreach_target.h>
#include <hwy/highway.h>

#include <algorithm>
#include <cmath>

HWY_BEFORE_NAMESPACE();
namespace cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;

using Wide = hn::CappedTag<uint64_t, 8>;  // one 32-bit number in the low half of each lane
using Words = hn::Rebind<uint32_t, Wide>;
using WideVec = hn::Vec<Wide>;

struct Block {
  WideVec word0, word1, word2, word3;  // the upper halves are rubbish
};

// The 64-bit product of the lower half of `a` and b.
HWY_INLINE WideVec Product(Wide d, WideVec a, uint32_t b) {
#if HWY_TARGET == HWY_SCALAR  // cannot see a lane as two halves
  return hn::Set(d, (hn::GetLane(a) & 0xffffffff) * b);
#else
  const hn::Repartition<uint32_t, Wide> d32;
  return hn::MulEven(hn::BitCast(d32, a), hn::BitCast(d32, hn::Set(d, b)));
#endif
}

// Philox-4x32-10 on a lane's block number, as RandomBlock.
HWY_INLINE Block Philox(Wide d, const RandomKey& key, WideVec block) {
  WideVec c0 = block, c1 = hn::ShiftRight<32>(block);
  WideVec c2 = hn::Set(d, key.step), c3 = hn::Set(d, key.site);
  uint32_t k0 = static_cast<uint32_t>(key.seed), k1 = static_cast<uint32_t>(key.seed >> 32);
  for (int round = 0; round < 10; ++round) {
    const WideVec p0 = Product(d, c0, 0xD2511F53), p1 = Product(d, c2, 0xCD9E8D57);
    c0 = hn::Xor(hn::Xor(hn::ShiftRight<32>(p1), c1), hn::Set(d, k0));
    c2 = hn::Xor(hn::Xor(hn::ShiftRight<32>(p0), c3), hn::Set(d, k1));
    c1 = p1;
    c3 = p0;
    k0 += 0x9E3779B9;
    k1 += 0xBB67AE85;
  }
  return {c0, c1, c2, c3};
}

HWY_INLINE hn::Vec<Words> Low(WideVec word) { return hn::TruncateTo(Words(), word); }

// bits [..] of the blocks that hold the elements first .. first + count - 1.
void NeighbourBits(uint32_t* bits, const RandomKey& key, uint64_t first, int64_t count) {
  const Wide d;
  const int64_t lanes = hn::Lanes(d);
  const int64_t blocks = static_cast<int64_t>(first % 4 + count + 3) / 4;
  for (int64_t block = 0; block < blocks; block += lanes) {
    const Block out = Philox(d, key, hn::Iota(d, first / 4 + block));
    hn::StoreInterleaved4(Low(out.word0), Low(out.word1), Low(out.word2), Low(out.word3), Words(),
                          bits + 4 * block);
  }
}

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

}  // namespace cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
namespace cpu {

HWY_EXPORT(Keep);

void KeepRow(float* keep, const Dropout& dropout, uint64_t row_index, const int32_t* position,
             int64_t columns) {
  HWY_DYNAMIC_DISPATCH(Keep)(keep, dropout, row_index, position, columns);
}

}  // namespace cpu
#endif  // HWY_ONCE
