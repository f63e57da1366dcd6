#pragma once

// The plain structs that layers and the model take.  Made and validated once from
// core/model/model.proto (core/training/config.h), then const.

#include <any>
#include <cstdint>
#include <optional>
#include <vector>

#include "kernels/tree/dense/dense_effects.h"
#include "kernels/tree/tree_shape.h"

namespace treeformer {

struct AttentionKind;  // a row of core/attention/registry.h
extern const AttentionKind kFullAttention;

// What reaches the tree from the loss (core/attention/README.md, 3).
enum class TreeGradient { kFlip, kDense, kNone };

enum class Balance { kNone, kLoss, kBias };

struct TreeConfig {
  TreeGradient gradient = TreeGradient::kFlip;
  FlipChoice flip_choice = FlipChoice::kMinMargin;
  float temperature = 1;  // tau of FLIP's sigmoid
  DenseOptions dense;
  int router_interval = 1;  // DENSE: every k-th step only
  Balance balance = Balance::kNone;
  float balance_weight = 0;       // kLoss: weight; kBias: step of the nudge
  bool fold_projections = false;  // TC: no W^Q, W^K; hyperplanes over x itself
};

struct AttentionConfig {
  const AttentionKind* kind = &kFullAttention;
  TreeShape shape;  // without levels where there are no trees
  TreeConfig tree;
  std::any numbers;  // of an attention without trees, a struct of its header
  bool causal = false;
  // The dropout of the attention probabilities, instead of ModelConfig::attention_dropout.
  std::optional<float> dropout = std::nullopt;

  bool HasTrees() const { return shape.height() > 0; }
  // Whether Backward of this step computes DENSE's gradient.
  bool RunsDense(int64_t step) const {
    return HasTrees() && tree.gradient == TreeGradient::kDense && step % tree.router_interval == 0;
  }
};

struct ModelConfig {
  int64_t layers = 0;
  int64_t width = 0;         // d
  int64_t heads = 0;         // H; head width e = d / H
  int64_t feed_forward = 0;  // 4 d in BERT
  int64_t vocabulary = 0;    // V
  int64_t max_positions = 0;
  int64_t token_types = 2;
  float dropout = 0.1f;            // on embeddings and both branches of a layer
  float attention_dropout = 0.1f;  // on the attention probabilities
  float layer_norm_epsilon = 1e-12f;
  float initial_deviation = 0.02f;
  bool sinusoidal_positions = false;  // initial value of the learned positions
  bool pre_norm = false;
  std::vector<AttentionConfig> attention;  // [layers]

  int64_t head_width() const { return width / heads; }
};

// The shapes of one micro-batch; fixed for the life of a model.
struct BatchShape {
  int64_t sequences = 0;   // B
  int64_t length = 0;      // n
  int64_t targets = 0;     // M, capacity of masked positions
  int64_t key_length = 0;  // m, of the sequences whose keys cross-attention reads; 0: n

  int64_t keys() const { return key_length > 0 ? key_length : length; }

  friend bool operator==(const BatchShape&, const BatchShape&) = default;
};

}  // namespace treeformer
