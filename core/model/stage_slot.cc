#include "core/model/stage_slot.h"

namespace treeformer {
namespace {

Tensors Make(Activations& activations, const std::vector<Port>& ports) {
  std::vector<Out> list;
  for (const Port& port : ports) list.push_back(activations.Make(port.shape));
  return Tensors(std::move(list));
}

}  // namespace

StageSlot::StageSlot(Device device, DType dtype, int index, Memory memory)
    : index_(index), memory_(memory), kept_(device, dtype), between_(device, dtype) {}

void StageSlot::Allocate() {
  kept_.Allocate();
  between_.Allocate();
}

void StageSlot::Bind(LayerList& layers, const BatchShape& shape) {
  shape_ = shape;
  between_.Rewind();
  BindBatch();
  BindTensors(layers);
  kept_.Rewind();
  for (LayerList::Entry& entry : layers.entries) {
    if (memory_ != Memory::kKept) kept_.Rewind();
    entry.weights->Use(index_);
    entry.layer->Bind({shape_, kept_});
  }
}

void StageSlot::BindTensors(const LayerList& layers) {
  tensors_.clear();
  gradients_.clear();
  std::vector<std::vector<Port>> ports;
  for (const LayerList::Entry& entry : layers.entries) ports.push_back(entry.layer->Inputs(shape_));
  ports.push_back(layers.entries.back().layer->Outputs(shape_));
  const auto same = [&](size_t i, size_t before) {
    return i >= before && ports[i] == ports[i - before];
  };
  for (size_t i = 0; i < ports.size(); ++i) {
    // A layer reads one tensor and writes the next: two are enough.
    const bool shares = memory_ == Memory::kInference && same(i, 2);
    tensors_.push_back(shares ? tensors_[i - 2] : Make(between_, ports[i]));
    if (memory_ == Memory::kInference) continue;
    // The gradient of a layer's input takes the place of that of its output where it fits.
    gradients_.push_back(same(i, 1) ? gradients_[i - 1] : Make(between_, ports[i]));
  }
}

void StageSlot::BindBatch() {
  const int64_t rows = shape_.sequences * shape_.length;
  for (View<int32_t>* ints : {&tokens_, &positions_, &types_}) *ints = between_.MakeInts({rows});
  document_ = between_.MakeInts({shape_.sequences, shape_.length});
  target_position_ = between_.MakeInts({shape_.targets});
  target_token_ = between_.MakeInts({shape_.targets});
}

void StageSlot::Load(Context& ctx, const datasets::Batch& batch, const StepInfo& step) {
  const auto load = [&ctx](View<int32_t> to, const std::vector<int32_t>& from) {
    Copy(ctx, to, Ids(from.data(), {static_cast<int64_t>(from.size())}));
  };
  load(tokens_, batch.tokens);
  load(positions_, batch.positions);
  load(types_, batch.types);
  load(document_, batch.document);
  load(target_position_, batch.target_position);
  load(target_token_, batch.target_token);
  std::vector<int64_t> targets_of(batch.sequences, 0);
  for (size_t m = 0; m < batch.target_token.size(); ++m) {
    if (batch.target_token[m] < 0) continue;
    ++targets_of.at(batch.target_position[m] / batch.length);
  }
  batch_ = {.step = step,
            .first_sample = batch.first_sample,
            .tokens = tokens_,
            .positions = positions_,
            .types = types_,
            .document = document_,
            .target_position = target_position_,
            .target_token = target_token_,
            .targets_of = targets_of};
}

}  // namespace treeformer
