#pragma once

// MicroBatch: what a layer knows of the micro-batch that it works on; and the random numbers that
// depend on it, which are the same for every cut of a global batch into ranks and micro-batches.

#include <vector>

#include "kernels/base/random.h"
#include "kernels/embedding.h"
#include "kernels/tree/route/route.h"

namespace treeformer {

struct StepInfo {
  uint64_t seed = 0;  // keys dropout and random flips
  int64_t step = 0;
  bool training = true;  // false: no dropout, and no Backward will follow
};

// One micro-batch on the device: B sequences of n tokens, M target slots (datasets/batch.h).
struct MicroBatch {
  StepInfo step;
  int64_t first_sample = 0;               // place of sequence 0 in the global batch
  Indices tokens, positions, types;       // [B n]
  Ids document;                           // [B, n]
  Indices target_position, target_token;  // [M]
  std::vector<int64_t> targets_of;        // [B] on the host: used target slots of each sequence
  bool again = false;                     // its activations are made a second time, from the same x

  int64_t sequences() const { return document.shape()[0]; }
  int64_t length() const { return document.shape()[1]; }
  int64_t rows() const { return document.count(); }  // B n
  int64_t targets() const { return target_position.count(); }
};

// Where a random number is used; with the layer's index, the `site` of its key.
enum class RandomPlace : uint32_t {
  kEmbedding,
  kProbabilities,
  kAttentionOutput,
  kFeedForward,
  kQueryFlip,
  kKeyFlip,
  kCount
};

inline RandomKey MakeRandomKey(const StepInfo& step, int64_t layer, RandomPlace place) {
  const uint32_t site = static_cast<uint32_t>(layer) * static_cast<uint32_t>(RandomPlace::kCount) +
                        static_cast<uint32_t>(place);
  return {step.seed, static_cast<uint32_t>(step.step), site};
}

// The offset counts from the global batch.
inline Dropout MakeDropout(float rate, const MicroBatch& batch, int64_t layer, RandomPlace place,
                           int64_t elements_per_sequence) {
  return {batch.step.training ? rate : 0, MakeRandomKey(batch.step, layer, place),
          static_cast<uint64_t>(batch.first_sample * elements_per_sequence)};
}

}  // namespace treeformer
