#pragma once

// Random numbers of the data: Philox-4x32-10 (Salmon et al. 2011, "Parallel random numbers: as easy
// as 1, 2, 3"), from Random123.  Four numbers are a pure function of (seed, stream, a, b, c); no
// two streams share a number.

#include <Random123/philox.h>
#include <glog/logging.h>

#include <array>
#include <cstdint>

namespace treeformer::datasets {

enum class RandomStream : uint32_t { kMasks = 1, kSampleOrder, kStories };

// b < 2^32, c < 2^24.
inline std::array<uint32_t, 4> RandomNumbers(uint64_t seed, RandomStream stream, uint64_t a,
                                             uint64_t b, uint64_t c) {
  CHECK(b < uint64_t{1} << 32 && c < uint64_t{1} << 24) << b << ", " << c;
  const auto low = [](uint64_t x) { return static_cast<uint32_t>(x); };
  const auto high = [](uint64_t x) { return static_cast<uint32_t>(x >> 32); };
  const r123::Philox4x32::ctr_type counter = {
      {low(a), high(a), low(b), low(c) | static_cast<uint32_t>(stream) << 24}};
  const auto numbers = r123::Philox4x32()(counter, {{low(seed), high(seed)}});
  return {numbers[0], numbers[1], numbers[2], numbers[3]};
}

// In [0, 1), 32 bits.
inline double ToUniform(uint32_t number) { return number * 0x1p-32; }

}  // namespace treeformer::datasets
