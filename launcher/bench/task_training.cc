#include "launcher/bench/task_training.h"

#include <cmath>

#include "core/carry.h"
#include "launcher/flag_values.h"

namespace bench {

constexpr int64_t kHeldOutBatches = 16;

TaskTraining::TaskTraining(const Task& task, ModelConfig config, uint64_t seed, Context ctx)
    : task_(task),
      seed_(seed),
      ctx_(std::move(ctx)),
      squared_norm_(ctx_.device(), DType::kFloat64, {1}),
      config_(std::move(config)) {
  config_.vocabulary = task.vocabulary();
  config_.token_types = task.token_types();
  config_.max_positions = task.shape().length;
  model_ = MakeModel();
}

std::unique_ptr<MaskedLanguageModel> TaskTraining::MakeModel() {
  auto model = std::make_unique<MaskedLanguageModel>(ctx_, config_, task_.shape(),
                                                     ActivationDType(ctx_.device()));
  model->parameters().Initialize(ctx_, seed_);
  return model;
}

double TaskTraining::ReadSquaredNorm() {
  SquaredNorm(ctx_, squared_norm_, model_->parameters().gradients());
  double value = 0;
  ::Copy(ctx_, View<double>(&value, {1}), squared_norm_);
  ctx_.Synchronize();
  return value;
}

void TaskTraining::Train(int64_t steps, double learning_rate,
                         const std::function<void(int64_t)>& progress) {
  const OptimizerConfig schedule{
      .learning_rate = learning_rate, .warmup_steps = steps / 20, .final_rate = 0.1};
  Optimizer optimizer(schedule);
  Parameters& parameters = model_->parameters();
  for (int64_t i = 0; i < steps; ++i, ++step_) {
    parameters.ZeroGradients(ctx_);
    model_->Forward(ctx_, task_.Training(step_), {.seed = seed_, .step = step_});
    model_->Backward(ctx_, [](Range) {});
    CHECK(std::isfinite(ReadSquaredNorm())) << "the gradient at step " << step_;
    optimizer.Step(ctx_, parameters, {0, parameters.count()}, squared_norm_.as<double>(),
                   task_.shape().targets, LearningRate(schedule, i, steps), step_ + 1);
    model_->NudgeBalance(ctx_);
    progress(i);
  }
}

void TaskTraining::SetAttention(const std::vector<AttentionConfig>& attention) {
  config_.attention = attention;
  std::unique_ptr<MaskedLanguageModel> next = MakeModel();
  CarryParameters(ctx_, next->parameters(), model_->parameters());
  model_ = std::move(next);
}

TaskTraining TaskTraining::Copy() const {
  CHECK(ctx_.device() == Device::kCpu);
  TaskTraining copy(task_, config_, seed_, Context::Cpu(ctx_.matmul_precision()));
  CarryParameters(copy.ctx_, copy.model_->parameters(), model_->parameters());
  copy.step_ = step_;
  return copy;
}

TaskResult TaskTraining::Evaluate() {
  LossSum sum;
  TaskResult result;
  result.density.resize(config_.layers);
  for (int64_t i = 0; i < kHeldOutBatches; ++i) {
    model_->Forward(ctx_, task_.HeldOut(i), {.seed = seed_, .step = step_, .training = false});
    sum += model_->ReadLoss(ctx_);
    for (int64_t layer = 0; layer < config_.layers; ++layer) {
      result.density[layer] += model_->ReadStatistics(ctx_, layer).density / kHeldOutBatches;
    }
  }
  result.loss = sum.MeanLoss();
  result.accuracy = sum.Accuracy();
  return result;
}

double TaskTraining::Density() {
  double density = 0;
  for (int64_t layer = 0; layer < config_.layers; ++layer) {
    density += model_->ReadStatistics(ctx_, layer).density / static_cast<double>(config_.layers);
  }
  return density;
}

}  // namespace bench
