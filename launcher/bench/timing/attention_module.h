#pragma once

// One self-attention module alone: projections, routing, sort, attention, output projection.
// x, y [B n, H e].  On a CPU in float32, on a GPU in bfloat16.

#include <memory>
#include <vector>

#include "core/layers/encoder_layer.h"
#include "launcher/bench/timing/trained_attention.h"

namespace treeformer::bench {

constexpr int64_t kModuleWidth = 768, kModuleHeads = 8;  // of the paper's Table 4

struct ModuleSize {
  int64_t sequences = 1, length = 0;
  int64_t heads = kModuleHeads, head_width = kModuleWidth / kModuleHeads;

  int64_t rows() const { return sequences * length; }
  int64_t width() const { return heads * head_width; }
};

class AttentionModule {
 public:
  AttentionModule(Context ctx, const AttentionConfig& attention, const ModuleSize& size);
  // The module of Table 4 on the CPU, batch 1.
  AttentionModule(const AttentionConfig& attention, int64_t length,
                  MatmulPrecision precision = MatmulPrecision::kFloat32)
      : AttentionModule(Context::Cpu(precision), attention, {.length = length}) {}

  // Weights and rows of a run instead of random ones; on the CPU.
  void Take(const TrainedAttention& trained);

  void Forward(bool training);
  void Backward();  // of the last Forward(true), the router's gradient included
  // Routing, sort and attention alone, of projections that the first call makes.
  void ForwardWithoutProjections(bool training);
  // The backward pass of the last ForwardWithoutProjections(true), with the router's gradient.
  void BackwardWithoutProjections();

  TreeStatistics ReadStatistics();
  int64_t length() const { return shape_.length; }
  const ModelConfig& config() const { return config_; }

  // The thresholds of all trees, in the order of the parameters.
  std::vector<float> TreeBiases();
  void SetTreeBiases(const std::vector<float>& biases);
  std::vector<Tree*> trees() { return branch_->attention().trees(); }
  Context& context() { return ctx_; }
  // Operands of the last ForwardWithoutProjections: [B, n, H, e].
  In queries() const { return q_.view().Reshaped(heads_); }
  In keys() const { return k_.view().Reshaped(heads_); }
  Ids document() const { return document_.as<int32_t>(); }

  // All that it holds: operands, activations, parameters with gradients, scratch.
  int64_t HeldBytes();

 private:
  Buffer MakeRows() const { return Buffer(ctx_.device(), activations_.dtype(), x_.shape()); }
  Buffer Project(const std::string& name);
  Out OfHeads(const Buffer& rows) const { return rows.view().Reshaped(heads_); }
  AttentionInput Input() const {
    return SelfAttention(OfHeads(q_), OfHeads(k_), OfHeads(v_), batch_);
  }
  std::vector<Parameter> TreeBiasParameters() const;

  Context ctx_;
  ModelConfig config_;
  const BatchShape shape_;
  const Shape heads_;  // [B, n, H, e]
  Parameters parameters_;
  WeightGradients weights_;
  Activations activations_;
  std::unique_ptr<AttentionBranch> branch_;
  Buffer x_, y_, dx_, dy_, document_;
  Buffer q_, k_, v_, o_;  // of ForwardWithoutProjections
  Buffer dq_, dk_, dv_;   // of BackwardWithoutProjections, whose dO is dy_
  MicroBatch batch_;
};

// Thresholds with which the rows of a module spread evenly over the leaves (up to chance), or, for
// a binary tree and density > 0, so unevenly that the density of attention is this.  They are made
// on a sample of this size and hold for every length: the rows of all modules of a width and number
// of heads are drawn alike.
std::vector<float> BalancedBiases(Context ctx, AttentionConfig attention, const ModuleSize& sample,
                                  double density);
inline std::vector<float> BalancedBiases(const AttentionConfig& attention, double density = 0,
                                         int64_t sample = 4096) {
  return BalancedBiases(Context::Cpu(), attention, {.length = sample}, density);
}

}  // namespace treeformer::bench
