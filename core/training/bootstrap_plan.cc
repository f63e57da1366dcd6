#include "core/training/bootstrap_plan.h"

#include <algorithm>

#include "core/attention/registry.h"
#include "kernels/base/user_error.h"

namespace treeformer {

namespace {

// "full attention"; "window + full attention" of layers that differ.
std::string DescribeAttention(const ModelConfig& model) {
  std::vector<std::string> labels;
  for (const AttentionConfig& attention : model.attention) {
    const std::string label = attention.kind->label;
    if (std::find(labels.begin(), labels.end(), label) == labels.end()) labels.push_back(label);
  }
  std::string text;
  for (const std::string& label : labels) text += (text.empty() ? "" : " + ") + label;
  return text + " attention";
}

int64_t CountTreeLayers(const ModelConfig& model, const BootstrapConfig& bootstrap) {
  return bootstrap.tree_layers > 0 ? bootstrap.tree_layers : model.layers;
}

TreeShape FirstLevels(const TreeShape& shape, int height) {
  TreeShape top = shape;
  top.branching.resize(height);
  return top;
}

void Validate(const ModelConfig& model, const BootstrapConfig& bootstrap) {
  const int height = bootstrap.attention.shape.height();
  if (bootstrap.full_steps + bootstrap.tree_steps + bootstrap.final_steps == 0) {
    throw UserError(
        "bootstrap: full_steps, tree_steps and final_steps are all 0: nothing to train");
  }
  if (bootstrap.tree_steps == 0) return;
  if (bootstrap.tree_layers < 0 || bootstrap.tree_layers > model.layers) {
    throw UserError(Sentence("bootstrap.tree_layers is ", bootstrap.tree_layers,
                             "; allowed: 0 (all) to model.layers = ", model.layers));
  }
  if (bootstrap.layer_width < 1) {
    throw UserError(Sentence("bootstrap.layer_width is ", bootstrap.layer_width,
                             "; at least 1 layer must turn into trees at a time"));
  }
  if (bootstrap.start_height < 0 || bootstrap.start_height >= height) {
    throw UserError(Sentence("bootstrap.start_height is ", bootstrap.start_height,
                             "; allowed: 0 to the height of the trees less one, ", height - 1));
  }
  const int64_t first = model.layers - CountTreeLayers(model, bootstrap);
  for (int64_t layer = first; layer < model.layers; ++layer) {
    if (!model.attention[layer].HasTrees()) continue;
    throw UserError(
        Sentence("model.attention gives layer ", layer + 1, " trees of its own (",
                 model.attention[layer].kind->name,
                 "); expected an attention without, as the bootstrap grows trees there"));
  }
}

}  // namespace

BootstrapPlan::BootstrapPlan(const ModelConfig& model, const BootstrapConfig& bootstrap)
    : model_(model), bootstrap_(bootstrap) {
  Validate(model, bootstrap);
  const int64_t N_L = model.layers, w = bootstrap.layer_width;
  const int h_s = bootstrap.start_height, h_f = bootstrap.attention.shape.height();
  const int64_t tree_layers = CountTreeLayers(model, bootstrap);
  const std::string attention = DescribeAttention(model);

  std::vector<int> heights(N_L, 0);
  int regrown = 0;
  auto add_stage = [&](int64_t first_tree_layer, int height, int64_t steps) {
    const int64_t first_step = this->steps();
    stages_.push_back({static_cast<int>(stages_.size()), first_tree_layer, height, first_step,
                       first_step + steps, heights, regrown, attention});
  };

  if (bootstrap.full_steps > 0 || bootstrap.tree_steps == 0) {
    add_stage(N_L, /*height=*/0, bootstrap.full_steps);
  }
  if (bootstrap.tree_steps > 0) {
    const int64_t groups = (tree_layers + w - 1) / w;
    const int64_t tree_stages = groups * (h_f - h_s);
    if (bootstrap.tree_steps < tree_stages) {
      throw UserError(Sentence("bootstrap.tree_steps is ", bootstrap.tree_steps,
                               "; expected a step or more for each of ", tree_stages, " stages (",
                               groups, " groups of layers x ", h_f - h_s, " heights)"));
    }
    int64_t finished = N_L;  // layers from here on have reached h_f
    for (int64_t i = 1; i <= groups; ++i) {
      const int64_t first = std::max(N_L - tree_layers, N_L - w * i);
      if (bootstrap.regrow && i > 1) ++regrown;
      for (int height = h_s + 1; height <= h_f; ++height) {
        const int64_t last = bootstrap.regrow ? N_L : finished;
        for (int64_t layer = first; layer < last; ++layer) heights[layer] = height;
        const int64_t k = (i - 1) * (h_f - h_s) + height - h_s - 1;  // of tree_stages
        const bool one_more = k < bootstrap.tree_steps % tree_stages;
        add_stage(first, height, bootstrap.tree_steps / tree_stages + (one_more ? 1 : 0));
      }
      finished = first;
    }
  }
  stages_.back().last_step += bootstrap.final_steps;
}

const BootstrapStage& BootstrapPlan::StageOfStep(int64_t step) const {
  for (const BootstrapStage& stage : stages_) {
    if (step < stage.last_step) return stage;
  }
  return stages_.back();
}

ModelConfig BootstrapPlan::ModelOfStage(const BootstrapStage& stage) const {
  ModelConfig model = model_;
  for (int64_t layer = 0; layer < model.layers; ++layer) {
    if (stage.heights[layer] == 0) continue;
    const bool causal = model.attention[layer].causal;
    model.attention[layer] = bootstrap_.attention;
    model.attention[layer].shape = FirstLevels(bootstrap_.attention.shape, stage.heights[layer]);
    model.attention[layer].causal = causal;
  }
  return model;
}

std::string Describe(const BootstrapStage& stage) {
  const std::string steps = Sentence("steps ", stage.first_step, "-", stage.last_step);
  if (stage.height == 0) return Sentence("stage ", stage.index, ": ", stage.attention, ", ", steps);
  return Sentence("stage ", stage.index, ": layers ", stage.first_tree_layer + 1, "-",
                  stage.heights.size(), " are trees, growing to height ", stage.height, ", ",
                  steps);
}

}  // namespace treeformer
