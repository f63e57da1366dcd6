#pragma once

// Head: the last layer of a model, with its loss.  An objective says which head a model has; the
// rest of the model is the same for all of them.
//
//   x [M, d]   a row for each target slot of the batch; slots without a target count nothing
// Forward makes the losses, and in training what Backward needs.  A head gives out named sums over
// the targets; the first is the loss, in nats for a cross-entropy, whose gradient Backward gives.

#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/layer.h"

namespace treeformer {

class Head : public Layer {
 public:
  explicit Head(const ModelConfig& config) : width_(config.width) {}

  std::vector<Port> Inputs(const BatchShape& shape) const override {
    return {{"hidden", {shape.targets, width_}}};
  }
  std::vector<Port> Outputs(const BatchShape&) const override { return {}; }

  virtual std::vector<std::string> SumNames() const = 0;
  // sums += those of the last Forward, in the order of SumNames, on the device.  It does not wait.
  virtual void AddSums(Context& ctx, View<double> sums) const = 0;
  // The class predicted in each target slot by the last Forward, which was no training: [M].
  virtual std::vector<int32_t> ReadPredictions(Context& ctx) const = 0;

 protected:
  const int64_t width_;
};

// The arg max of the first `classes` columns of each row of scores [M, ld] that has a target; -1 in
// the others.  It waits.
std::vector<int32_t> ArgMaxOfTargets(Context& ctx, In scores, int64_t classes, Indices target);

struct Objective {
  std::string name;
  std::function<std::unique_ptr<Head>(const LayerBuilder&)> make_head;
};

}  // namespace treeformer
