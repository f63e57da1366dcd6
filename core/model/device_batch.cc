#include "core/model/device_batch.h"

namespace treeformer {

DeviceBatch::DeviceBatch(Activations& activations, const BatchShape& shape) {
  const int64_t rows = shape.sequences * shape.length;
  for (View<int32_t>* ints : {&tokens_, &positions_, &types_}) {
    *ints = activations.MakeInts({rows});
  }
  document_ = activations.MakeInts({shape.sequences, shape.length});
  target_position_ = activations.MakeInts({shape.targets});
  target_token_ = activations.MakeInts({shape.targets});
}

MicroBatch DeviceBatch::Load(Context& ctx, const datasets::Batch& batch, const StepInfo& step) {
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
  return {step,      batch.first_sample, tokens_,       positions_, types_,
          document_, target_position_,   target_token_, targets_of};
}

}  // namespace treeformer
