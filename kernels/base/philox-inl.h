// Random bits in vectors: RandomBlock of kernels/base/random.h, one block a lane.  Like Highway's
// own files it is read once for every instruction set.

#include "kernels/base/random.h"

#if defined(KERNELS_PHILOX_INL_H_) == defined(HWY_TARGET_TOGGLE)
#ifdef KERNELS_PHILOX_INL_H_
#undef KERNELS_PHILOX_INL_H_
#else
#define KERNELS_PHILOX_INL_H_
#endif

#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace treeformer::cpu {
namespace HWY_NAMESPACE {

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

// Philox-4x32 on a lane's block number, as RandomBlock.
HWY_INLINE Block Philox(Wide d, const RandomKey& key, WideVec block) {
  WideVec c0 = block, c1 = hn::ShiftRight<32>(block);
  WideVec c2 = hn::Set(d, key.step), c3 = hn::Set(d, key.site);
  uint32_t k0 = static_cast<uint32_t>(key.seed), k1 = static_cast<uint32_t>(key.seed >> 32);
  for (int round = 0; round < kPhiloxRounds; ++round) {
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
HWY_INLINE void NeighbourBits(uint32_t* bits, const RandomKey& key, uint64_t first, int64_t count) {
  const Wide d;
  const int64_t lanes = hn::Lanes(d);
  const int64_t blocks = static_cast<int64_t>(first % 4 + count + 3) / 4;
  for (int64_t block = 0; block < blocks; block += lanes) {
    const Block out = Philox(d, key, hn::Iota(d, first / 4 + block));
    hn::StoreInterleaved4(Low(out.word0), Low(out.word1), Low(out.word2), Low(out.word3), Words(),
                          bits + 4 * block);
  }
}

}  // namespace HWY_NAMESPACE
}  // namespace treeformer::cpu
HWY_AFTER_NAMESPACE();

#endif
