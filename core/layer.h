#pragma once

// What all layers share.
//
// A layer declares its parameters and allocates its activations when it is made.  Then
//   Forward   y  = f(x; w), and keeps what Backward will need
//   Backward  dx = (df/dx)^T dy     dw += (df/dw)^T dy, over micro-batches
// There is no tape: the model calls Forward in order and Backward in the reverse order, once each
// per micro-batch; what a Forward was given stays as it is until its Backward.  Temporaries come
// from ctx.scratch(), so layers share them.

#include <string>
#include <vector>

#include "core/model_config.h"
#include "core/parameters.h"
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
};

// Owns the activations; allocated once, when the model is made.
class Activations {
 public:
  Activations(Context& ctx, DType dtype) : device_(ctx.device()), dtype_(dtype) {}

  DType dtype() const { return dtype_; }
  Out Make(const Shape& shape) { return Keep(Buffer(device_, dtype_, shape)); }
  // Of what is kept per row: a mean, a loss, a margin.
  Out MakeStatistics(const Shape& shape) {
    return Keep(Buffer(device_, StatisticsType(dtype_), shape));
  }
  View<int32_t> MakeInts(const Shape& shape) { return Keep(Buffer(device_, DType::kInt32, shape)); }
  int64_t bytes() const { return bytes_; }

 private:
  Out Keep(Buffer buffer) {
    bytes_ += buffer.bytes();
    buffers_.push_back(std::move(buffer));
    return buffers_.back();
  }

  Device device_;
  DType dtype_;
  std::vector<Buffer> buffers_;
  int64_t bytes_ = 0;
};

// What a layer is made from.  `parameters` outlives the layers.
struct LayerBuilder {
  const ModelConfig& config;
  const BatchShape& shape;
  Parameters& parameters;
  Activations& activations;
  int64_t layer = kNoLayer;  // of the encoder, whose parameters are declared

  LayerBuilder OfLayer(int64_t index) const {
    return {config, shape, parameters, activations, index};
  }
  int64_t rows() const { return shape.sequences * shape.length; }  // B n
};

// Names of the parameters of an encoder layer begin with this and a dot.
inline std::string EncoderLayerName(int64_t layer) {
  return "bert.encoder.layer." + std::to_string(layer);
}

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

// The offset counts from the global batch: the same numbers for every cut into ranks and
// micro-batches.
inline Dropout MakeDropout(float rate, const MicroBatch& batch, int64_t layer, RandomPlace place,
                           int64_t elements_per_sequence) {
  return {batch.step.training ? rate : 0, MakeRandomKey(batch.step, layer, place),
          static_cast<uint64_t>(batch.first_sample * elements_per_sequence)};
}

}  // namespace treeformer
