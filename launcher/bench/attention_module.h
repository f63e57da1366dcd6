#pragma once

// One self-attention module alone, of the size of the paper's Table 4: width 768, 8 heads, batch 1.
// x, y [n, 768]: projections, routing, sort, attention, output projection.

#include <memory>
#include <vector>

#include "core/encoder_layer.h"
#include "launcher/bench/trained_attention.h"

namespace bench {

constexpr int64_t kModuleWidth = 768, kModuleHeads = 8;

class AttentionModule {
 public:
  AttentionModule(const AttentionConfig& attention, int64_t length,
                  MatmulPrecision precision = MatmulPrecision::kFloat32);

  // Weights and rows of a run instead of random ones.
  void Take(const TrainedAttention& trained);

  void Forward(bool training);
  void Backward();  // of the last Forward(true), the router's gradient included
  // Routing, sort and attention alone, of projections that the first call makes.
  void ForwardWithoutProjections(bool training);

  TreeStatistics ReadStatistics();
  int64_t length() const { return shape_.length; }
  const ModelConfig& config() const { return config_; }

  // The thresholds of all trees, in the order of the parameters.
  std::vector<float> TreeBiases() const;
  void SetTreeBiases(const std::vector<float>& biases);
  std::vector<Tree*> trees() { return branch_->attention().trees(); }
  Context& context() { return ctx_; }

 private:
  Buffer Project(const std::string& name);

  Context ctx_;
  ModelConfig config_;
  const BatchShape shape_;
  Parameters parameters_;
  Activations activations_{ctx_, DType::kFloat32};
  std::unique_ptr<AttentionBranch> branch_;
  Buffer x_, y_, dx_, dy_, document_;
  Buffer q_, k_, v_, o_;  // of ForwardWithoutProjections
  MicroBatch batch_;
};

// Thresholds with which the rows of a module spread evenly over the leaves (up to chance), or, for
// a binary tree and density > 0, so unevenly that the density of attention is this.  They are made
// on a sample of so many rows and hold for every length: the rows of all modules are drawn alike.
std::vector<float> BalancedBiases(AttentionConfig attention, double density = 0,
                                  int64_t sample = 4096);

}  // namespace bench
