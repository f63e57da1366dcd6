#include "core/training/training_step.h"

#include "kernels/adamw.h"

namespace treeformer {

TrainingStep::TrainingStep(Context& ctx, MaskedLanguageModel& model, int micro_batches, bool graphs)
    : model_(model),
      micro_batches_(micro_batches),
      graphs_(graphs),
      sums_(ctx.device(), DType::kFloat64, {3}) {}

TrainingStep::Kind TrainingStep::KindOf(int64_t step) const {
  Kind kind;
  for (const AttentionConfig& attention : model_.config().attention) {
    kind.push_back(attention.RunsDense(step));
  }
  return kind;
}

void TrainingStep::Run(Context& ctx, runtime::Graph& graph, bool warm,
                       const std::function<void()>& work) {
  if (graphs_ && warm) {
    ctx.RunAsGraph(graph, work);
  } else {
    work();
  }
}

void TrainingStep::Accumulate(Context& ctx, int micro, const datasets::Batch& batch,
                              const StepInfo& info, const GradientHook& hook) {
  if (micro == 0) {
    current_ = &recorded_[KindOf(info.step)];
    current_->gradients.resize(micro_batches_);
  }
  model_.Load(ctx, batch, info);
  const auto work = [&] {
    if (micro == 0) {
      Zero(ctx, sums_);
      model_.parameters().ZeroGradients(ctx);
    }
    model_.Forward(ctx);
    model_.AddLoss(ctx, sums_.as<double>().Rows(0, 2));
    model_.Backward(ctx, hook);
  };
  if (hook) return work();
  Run(ctx, current_->gradients.at(micro), current_->warm, work);
}

void TrainingStep::Update(Context& ctx, const Optimizer& optimizer, OptimizerState& state,
                          double targets, double learning_rate, int64_t t) {
  Run(ctx, update_, warm_, [&] {
    Parameters& parameters = model_.parameters();
    const View<double> squared_norm = sums_.as<double>().Rows(2, 3);
    SquaredNorm(ctx, squared_norm, parameters.gradients());
    optimizer.Step(ctx, parameters, state, squared_norm, targets, learning_rate, t);
  });
  warm_ = current_->warm = true;
}

StepSums TrainingStep::Read(Context& ctx) const {
  double sums[3];
  Copy(ctx, View<double>(sums, {3}), sums_);
  ctx.Synchronize();
  return {sums[0], sums[1], sums[2]};
}

}  // namespace treeformer
