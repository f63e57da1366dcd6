#pragma once

// StageSlot: the memory of one micro-batch in flight: the batch itself, what the layers keep of it,
// the tensors between the layers, and the gradients of these.
//
// One Plan, Allocate, then Bind for each shape that is no larger.

#include <memory>
#include <vector>

#include "core/layer.h"
#include "core/model/layer_list.h"
#include "datasets/batch.h"

namespace treeformer {

class StageSlot {
 public:
  // kKept: each layer has memory of its own.  kOverlaid: the activations of the layers take the
  // same memory, one after the other.  kInference: so do the tensors between them, and there are no
  // gradients.
  enum class Memory { kKept, kOverlaid, kInference };
  StageSlot(Device device, DType dtype, int index, Memory memory);

  void Allocate();
  // Host work only; before Allocate it plans the memory.
  void Bind(LayerList& layers, const BatchShape& shape);
  void Load(Context& ctx, const datasets::Batch& batch, const StepInfo& step);

  const BatchShape& shape() const { return shape_; }
  MicroBatch& batch() { return batch_; }
  const MicroBatch& batch() const { return batch_; }
  // The input of layer i and its gradient; i = number of layers: the output of the last one.
  const Tensors& input(size_t i) const { return tensors_.at(i); }
  const Tensors& input_gradient(size_t i) const { return gradients_.at(i); }
  int64_t bytes() const { return kept_.bytes() + between_.bytes(); }
  int64_t between_bytes() const { return between_.bytes(); }  // the batch, tensors, gradients

 private:
  void BindBatch();
  void BindTensors(const LayerList& layers);

  const int index_;
  const Memory memory_;
  Activations kept_, between_;
  BatchShape shape_;
  MicroBatch batch_;
  View<int32_t> tokens_, positions_, types_, document_, target_position_, target_token_;
  std::vector<Tensors> tensors_, gradients_;  // [layers + 1]
};

}  // namespace treeformer
