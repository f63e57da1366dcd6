#pragma once

// One layer of the encoder: the attention block, then the feed-forward block.   Devlin et al. 2019
//
//   attention     f(x) = W^O Attention(W^Q x, W^K x, W^V x)        attention.self, attention.output
//   feed-forward  f(x) = W_2 gelu(W_1 x)                           intermediate, output
// Names below bert.encoder.layer.<index>.
//
// The loss reads the last layer's output at the target positions alone, so there the feed-forward
// block is made for those rows and no others: the same loss and gradients for less work.

#include <optional>
#include <string>

#include "core/attention/attention.h"
#include "core/layers/residual_block.h"

namespace treeformer {

enum class OutputRows { kAll, kTargets };  // [B n, d]; [M, d] at the target positions

class AttentionBranch : public Branch {
 public:
  AttentionBranch(const LayerBuilder& builder, int64_t layer, const std::string& name);

  void Bind(const LayerMemory& memory) override;
  void Forward(Context& ctx, Out y, In x, const MicroBatch& batch) override;
  void Backward(Context& ctx, Acc dx, In dy, In x, const MicroBatch& batch) override;

  Attention& attention() { return *attention_; }

 private:
  bool folded() const { return !query_; }

  WeightGradients* weights_;
  const int64_t width_, head_count_;
  Shape heads_, row_;                       // [B, n, H, e], [B, n, 1, d]
  std::optional<LinearLayer> query_, key_;  // absent when folded into the trees
  LinearLayer value_;
  std::unique_ptr<Attention> attention_;
  LinearLayer output_;
  Out q_, k_, v_, o_;  // [B n, d]
  Out dq_, dk_, dv_;   // [B n, d], where the gradients of weights are deferred
};

class FeedForwardBranch : public Branch {
 public:
  FeedForwardBranch(const LayerBuilder& builder, const std::string& name, OutputRows output);

  void Bind(const LayerMemory& memory) override;
  void Forward(Context& ctx, Out y, In x, const MicroBatch& batch) override;
  void Backward(Context& ctx, Acc dx, In dy, In x, const MicroBatch& batch) override;

 private:
  WeightGradients* weights_;
  const int64_t inner_width_;
  const OutputRows output_rows_;
  LinearLayer inner_, output_;
  Out pre_, gelu_;  // [rows, feed_forward]
  Out d_inner_;     // the same, where the gradients of weights are deferred
};

class EncoderLayer : public Layer {
 public:
  EncoderLayer(const LayerBuilder& builder, int64_t layer, OutputRows output);

  std::string name() const override { return EncoderLayerName(layer_); }
  LayerCost Cost(const BatchShape& shape, std::optional<double> density) const override;
  std::vector<Port> Inputs(const BatchShape& shape) const override;
  std::vector<Port> Outputs(const BatchShape& shape) const override;
  void Bind(const LayerMemory& memory) override;
  void Forward(Context& ctx, const Tensors& y, const Tensors& x, const MicroBatch& batch) override;
  void BackwardInput(Context& ctx, const Tensors& dx, const Tensors& dy, const Tensors& x,
                     const MicroBatch& batch) override;

  Attention& attention() { return *attention_; }

 private:
  EncoderLayer(const LayerBuilder& builder, int64_t layer, OutputRows output,
               const std::string& name, std::unique_ptr<AttentionBranch> branch);

  const ModelConfig& config_;
  const int64_t layer_, width_;
  const OutputRows output_rows_;
  Attention* attention_;
  ResidualBlock attention_block_, feed_forward_block_;
  Out middle_;   // [B n, d], between the blocks
  Out targets_;  // [M, d], of kTargets: its rows at the target positions
};

}  // namespace treeformer
