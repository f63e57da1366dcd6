#pragma once

// The attentions there are: one row for each, in one table (registry.cc).  Code that needs to know
// something about the attention of a layer asks its row, so that a new attention is its own files,
// its row, and its value of config::Attention::Kind.

#include <memory>
#include <optional>
#include <span>
#include <string>
#include <vector>

#include "core/attention/attention.h"

namespace treeformer {

namespace config {
class Attention;  // attention.proto
}

// One sequence of n tokens through the attention of one layer, without the projections W^Q, W^K,
// W^V, W^O; a multiply-add is 2 floating-point operations.
struct AttentionCost {
  int64_t parameters = 0;  // its own
  double density = 1;      // share of the n^2 pairs that it computes; NaN where it has no pairs
  // Forward pass: the way of queries and keys through trees; scores and weighted sums of pairs;
  // what is made for each node and looked up.
  double routing = 0, pairs = 0, tables = 0;
  double router = 0;  // of the gradient of the routing, in a training step

  double Forward() const { return routing + pairs + tables; }
  // The backward pass is five products for two.
  double Training() const { return 3.5 * Forward() + router; }
};

// Where the experiment gives an attention.
struct AttentionField {
  std::string name;   // model.attention, bootstrap.attention
  float dropout = 0;  // of the model, for attentions that say none
  bool causal = false;
};

struct AttentionKind {
  const char* name;   // as in config::Attention::Kind
  const char* label;  // in reports
  bool has_pairs;     // it weighs pairs of queries and keys, and has a density
  // Numbers of config::Attention with which `treeformer bench` times it, "window: 256"; null where
  // the benchmark has rows of its own.
  const char* benchmark;

  // The plain form of what the user gave.  Throws UserError: field, value, what is allowed.
  AttentionConfig (*validate)(const config::Attention& attention, const AttentionField& field);
  // `name`: bert.encoder.layer.3.attention.self; trees are name.tree, name.query_tree, ...
  std::unique_ptr<Attention> (*make)(const LayerBuilder& builder, int64_t layer,
                                     const std::string& name);
  // density: as measured; absent: that of balanced trees.  Only attentions with trees read it.
  AttentionCost (*cost)(const ModelConfig& model, const AttentionConfig& attention, double n,
                        std::optional<double> density);
};

// In the order of the table.
std::span<const AttentionKind* const> AttentionKinds();

// validate of the row that attention.kind names, and what holds for all of them.
AttentionConfig MakeAttentionConfig(const config::Attention& attention,
                                    const AttentionField& field);
// Both ask the row of the layer's attention.
std::unique_ptr<Attention> MakeAttention(const LayerBuilder& builder, int64_t layer,
                                         const std::string& name);
AttentionCost CostOfAttention(const ModelConfig& model, int64_t layer, double n,
                              std::optional<double> density = std::nullopt);

// For an attention without trees: UserError where the user gave other numbers than these.
void RequireNumbers(const config::Attention& attention, const AttentionField& field,
                    const std::vector<std::string>& allowed);
// The rate of `attention`, or that of the model.
float AttentionDropout(const config::Attention& attention, const AttentionField& field);

}  // namespace treeformer
