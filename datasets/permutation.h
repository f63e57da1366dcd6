#pragma once

// A random permutation of 0 .. N-1 that needs no memory: a Feistel network on the next even number
// of bits, walked until it lands below N.  It is a pure function of (N, seed, epoch).  N <= 2^62.
// Black, Rogaway 2002, "Ciphers with arbitrary finite domains", section 4

#include <glog/logging.h>

#include <bit>
#include <cstdint>

#include "datasets/random.h"

namespace treeformer::datasets {

class Permutation {
 public:
  Permutation(int64_t size, uint64_t seed, int64_t epoch)
      : size_(size),
        half_bits_((std::bit_width(static_cast<uint64_t>(size > 1 ? size - 1 : 1)) + 1) / 2),
        seed_(seed),
        epoch_(epoch) {
    CHECK_GT(size, 0);
  }

  int64_t operator()(int64_t i) const {
    CHECK(0 <= i && i < size_) << i << " of " << size_;
    do {
      i = Encipher(i);
    } while (i >= size_);
    return i;
  }

 private:
  // Six leave a bias of 7 % between the places of six elements.
  static constexpr uint32_t kRounds = 10;

  int64_t Encipher(int64_t i) const {
    const uint64_t mask = (uint64_t{1} << half_bits_) - 1;
    uint64_t left = static_cast<uint64_t>(i) >> half_bits_, right = i & mask;
    for (uint32_t round = 0; round < kRounds; ++round) {
      const uint64_t next =
          left ^ (RandomNumbers(seed_, RandomStream::kSampleOrder, right, epoch_, round)[0] & mask);
      left = right;
      right = next;
    }
    return left << half_bits_ | right;
  }

  int64_t size_;
  int half_bits_;
  uint64_t seed_;
  int64_t epoch_;
};

}  // namespace treeformer::datasets
