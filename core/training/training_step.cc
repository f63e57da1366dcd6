#include "core/training/training_step.h"

#include "kernels/adamw.h"

namespace treeformer {

TrainingStep::TrainingStep(Context& ctx, ModelStage& model, int micro_batches, bool graphs)
    : model_(model),
      micro_batches_(micro_batches),
      graphs_(graphs),
      names_(model.SumNames()),
      count_(std::ssize(names_)),
      sums_(ctx.device(), DType::kFloat64, {count_ + 3}) {}

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

void TrainingStep::Begin(Context& ctx, const StepInfo& info) {
  info_ = info;
  counts_[0] = counts_[1] = 0;
  current_ = &recorded_[KindOf(info.step)];
  current_->forward.resize(micro_batches_);
  current_->backward.resize(micro_batches_);
  Zero(ctx, sums_);
  model_.parameters().ZeroGradients(ctx);
}

void TrainingStep::Forward(Context& ctx, int micro, const datasets::Batch& batch) {
  const int slot = SlotOf(micro);
  counts_[0] += static_cast<double>(batch.CountTargets());
  counts_[1] += static_cast<double>(batch.CountTokens());
  model_.Load(ctx, batch, info_, slot);
  Run(ctx, current_->forward.at(micro), current_->warm, [&] {
    model_.Forward(ctx, slot);
    model_.AddSums(ctx, sums_.as<double>().Rows(0, count_));
  });
}

void TrainingStep::Backward(Context& ctx, int micro, const GradientHook& hook) {
  const auto work = [&] { model_.Backward(ctx, hook, SlotOf(micro)); };
  if (hook) return work();
  Run(ctx, current_->backward.at(micro), current_->warm, work);
}

View<double> TrainingStep::sums(Context& ctx) {
  const View<double> all = sums_;
  Copy(ctx, all.Rows(count_, count_ + 2), View<double>(counts_, {2}));
  return all.Rows(0, count_ + 2);
}

void TrainingStep::Update(Context& ctx, const Optimizer& optimizer, OptimizerState& state,
                          double learning_rate, int64_t t) {
  Run(ctx, update_, warm_, [&] {
    Parameters& parameters = model_.parameters();
    const View<double> targets = sums_.as<double>().Rows(count_, count_ + 1);
    const View<double> squared_norm = sums_.as<double>().Rows(count_ + 2, count_ + 3);
    SquaredNorm(ctx, squared_norm, parameters.gradients());
    optimizer.Step(ctx, parameters, state, squared_norm, targets, learning_rate, t);
  });
  warm_ = current_->warm = true;
}

StepSums TrainingStep::Read(Context& ctx) const {
  std::vector<double> sums(count_ + 3);
  Copy(ctx, View<double>(sums.data(), {count_ + 3}), sums_);
  ctx.Synchronize();
  const auto names_end = sums.begin() + count_;
  return {{names_, {sums.begin(), names_end}, static_cast<int64_t>(sums[count_])},
          sums[count_ + 1],
          sums[count_ + 2]};
}

}  // namespace treeformer
