#pragma once

// Counter-based random numbers: Philox-4x32-7 (Salmon et al. 2011, "Parallel random numbers: as
// easy as 1, 2, 3"), from Random123.  Seven rounds are the fewest that pass all of BigCrush (their
// table 2).  A number is a pure function of (key, index), so every back end, layout and order of
// work gives the same bits.

#include <Random123/philox.h>

#include <cstdint>

#include "kernels/base/host_device.h"

namespace treeformer {

// Everything that tells one stream of random numbers from another.
struct RandomKey {
  uint64_t seed = 0;
  uint32_t step = 0;  // of training
  uint32_t site = 0;  // which operation of the model: unique per use
};

constexpr int kPhiloxRounds = 7;

// The four numbers of block `block` (elements 4 block .. 4 block + 3).
HOST_DEVICE inline r123::Philox4x32::ctr_type RandomBlock(const RandomKey& key, uint64_t block) {
  const r123::Philox4x32::ctr_type counter = {
      {static_cast<uint32_t>(block), static_cast<uint32_t>(block >> 32), key.step, key.site}};
  const r123::Philox4x32::key_type philox_key = {
      {static_cast<uint32_t>(key.seed), static_cast<uint32_t>(key.seed >> 32)}};
  return r123::Philox4x32_R<kPhiloxRounds>()(counter, philox_key);
}

HOST_DEVICE inline uint32_t RandomBits(const RandomKey& key, uint64_t index) {
  const r123::Philox4x32::ctr_type block = RandomBlock(key, index / 4);
  // Not block[index % 4]: a GPU's registers have no index.
  const uint32_t even = index & 2 ? block[2] : block[0], odd = index & 2 ? block[3] : block[1];
  return index & 1 ? odd : even;
}

// In [0, 1), 24 bits.
HOST_DEVICE inline float UniformOfBits(uint32_t bits) { return (bits >> 8) * 0x1p-24f; }
HOST_DEVICE inline float RandomUniform(const RandomKey& key, uint64_t index) {
  return UniformOfBits(RandomBits(key, index));
}

// Dropout keeps element i when RandomUniform(key, offset + i) >= rate, and scales it by
// 1 / (1 - rate).  `offset` is the element's index in the global batch, so the choice does not
// depend on the number of ranks or micro-batches.
struct Dropout {
  float rate = 0;  // 0: nothing is dropped
  RandomKey key;
  uint64_t offset = 0;

  HOST_DEVICE bool enabled() const { return rate > 0; }
  HOST_DEVICE float scale() const { return 1 / (1 - rate); }
  HOST_DEVICE bool Keeps(uint64_t i) const { return RandomUniform(key, offset + i) >= rate; }
};

}  // namespace treeformer
