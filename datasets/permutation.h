#pragma once

// A random permutation of 0 .. N-1 that needs no memory: a Feistel network on the next even number
// of bits, walked until it lands below N.                Black, Rogaway 2002, "Ciphers with
// arbitrary finite domains", section 4.  A pure function of (seed, epoch).

#include <Random123/philox.h>
#include <glog/logging.h>

#include <bit>
#include <cstdint>

namespace datasets {

class Permutation {
 public:
  Permutation(int64_t size, uint64_t seed, int64_t epoch)
      : size_(size),
        half_bits_((std::bit_width(static_cast<uint64_t>(size > 1 ? size - 1 : 1)) + 1) / 2),
        key_{{static_cast<uint32_t>(seed), static_cast<uint32_t>(seed >> 32)}},
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
  static constexpr uint32_t kRounds = 6;

  int64_t Encipher(int64_t i) const {
    const uint64_t mask = (uint64_t{1} << half_bits_) - 1;
    uint64_t left = static_cast<uint64_t>(i) >> half_bits_, right = i & mask;
    for (uint32_t round = 0; round < kRounds; ++round) {
      const r123::Philox4x32::ctr_type counter = {{static_cast<uint32_t>(right),
                                                   static_cast<uint32_t>(right >> 32), round,
                                                   static_cast<uint32_t>(epoch_)}};
      const uint64_t next = left ^ (r123::Philox4x32()(counter, key_)[0] & mask);
      left = right;
      right = next;
    }
    return left << half_bits_ | right;
  }

  int64_t size_;
  int half_bits_;
  r123::Philox4x32::key_type key_;
  int64_t epoch_;
};

}  // namespace datasets
