#pragma once

// BootstrapPlan: Algorithm 1 of the paper (two-dimensional bootstrapping, layers x heights)
// unrolled into stages.  The trainer and the coordinator run this one list.
//
//   stage 0                        no trees yet, `full_steps` (absent when 0)
//   for i = 1 .. ceil(N_L / w):    idx = 1 + max(0, N_L - w i)
//     for h = h_s + 1 .. h_f:      layers idx .. N_L are trees of height h,
//                                  tree_steps / (ceil(N_L / w) (h_f - h_s)) steps
//   finally `final_steps` more in the last form, as part of the last stage
// A layer without trees has the attention that the model gives it: full, unless it says more.
// Layers that an earlier i brought to h_f stay there, unless `regrow` (the algorithm to the
// letter): then they begin again at h_s, of which they keep the levels, and every level that grows
// on is drawn anew.  Steps that do not divide go to the first stages, one each, so that they add up
// exactly.

#include <cstdint>
#include <string>
#include <vector>

#include "core/model_config.h"

namespace treeformer {

struct BootstrapConfig {
  int64_t full_steps = 0;
  int64_t tree_steps = 0;  // N
  int64_t final_steps = 0;
  int64_t tree_layers = 0;  // only the last so many layers become trees; 0: all
  int64_t layer_width = 1;  // w
  int start_height = 0;     // h_s
  bool regrow = false;
  AttentionConfig attention;  // of a tree layer; shape is that of the full height h_f
};

struct BootstrapStage {
  int index = 0;
  int64_t first_tree_layer = 0;  // 0-based; the number of layers before the first trees
  int height = 0;                // of the layers this stage works on; 0: before the first trees
  int64_t first_step = 0;        // steps [first_step, last_step)
  int64_t last_step = 0;
  std::vector<int> heights;  // [layers]; 0: the attention that the model gives
  int regrown = 0;           // times that trees have begun again at h_s
  std::string attention;     // what the model gives: "full attention"
};

class BootstrapPlan {
 public:
  // Throws UserError where the configuration makes no sense.
  BootstrapPlan(const ModelConfig& model, const BootstrapConfig& bootstrap);

  const std::vector<BootstrapStage>& stages() const { return stages_; }
  int64_t steps() const { return stages_.empty() ? 0 : stages_.back().last_step; }
  const BootstrapStage& StageOfStep(int64_t step) const;
  const ModelConfig& model() const { return model_; }  // before the first trees
  // The model of a stage: trees of the stage's heights, the model's own attention elsewhere.
  ModelConfig ModelOfStage(const BootstrapStage& stage) const;

 private:
  const ModelConfig model_;
  const BootstrapConfig bootstrap_;
  std::vector<BootstrapStage> stages_;
};

// "stage 2: layers 4-6 are trees, growing to height 1, steps 400-600"
std::string Describe(const BootstrapStage& stage);

}  // namespace treeformer
