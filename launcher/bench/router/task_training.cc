#include "launcher/bench/router/task_training.h"

#include <cmath>

#include "core/training/carry.h"
#include "core/training/rate_schedule.h"
#include "launcher/program/flag_values.h"

namespace treeformer::bench {

constexpr int64_t kHeldOutBatches = 16;

TaskTraining::TaskTraining(const Task& task, ModelConfig config, uint64_t seed, Context ctx,
                           bool cuda_graphs)
    : task_(task),
      seed_(seed),
      cuda_graphs_(cuda_graphs),
      ctx_(std::move(ctx)),
      config_(std::move(config)) {
  config_.vocabulary = task.vocabulary();
  config_.token_types = task.token_types();
  config_.max_positions = task.shape().length;
  auto model = MakeModel();
  OptimizerState state(ctx_, model->parameters());
  UseModel(std::move(model), std::move(state));
}

std::unique_ptr<ModelStage> TaskTraining::MakeModel() {
  auto model =
      std::make_unique<ModelStage>(ctx_, config_, task_.shape(), ActivationDType(ctx_.device()));
  model->parameters().Initialize(ctx_, seed_);
  return model;
}

void TaskTraining::UseModel(std::unique_ptr<ModelStage> model, OptimizerState state) {
  work_.reset();
  model_ = std::move(model);
  state_ = std::move(state);
  work_ = std::make_unique<TrainingStep>(ctx_, *model_, /*micro_batches=*/1, cuda_graphs_);
}

void TaskTraining::Train(int64_t steps, double learning_rate,
                         const std::function<void(int64_t)>& progress) {
  const OptimizerConfig schedule{
      .learning_rate = learning_rate, .warmup_steps = steps / 20, .final_rate = 0.1};
  const Optimizer optimizer(schedule);
  for (int64_t i = 0; i < steps; ++i, ++step_) {
    work_->Begin(ctx_, {.seed = seed_, .step = step_});
    work_->Forward(ctx_, /*micro=*/0, task_.Training(step_));
    work_->Backward(ctx_, /*micro=*/0, /*hook=*/{});
    work_->sums(ctx_);
    work_->Update(ctx_, optimizer, state_, LearningRate(schedule, i, steps), step_ + 1);
    CHECK(std::isfinite(work_->Read(ctx_).squared_norm)) << "the gradient at step " << step_;
    model_->NudgeBalance(ctx_);
    progress(i);
  }
}

void TaskTraining::SetAttention(const std::vector<AttentionConfig>& attention) {
  config_.attention = attention;
  std::unique_ptr<ModelStage> next = MakeModel();
  OptimizerState state(ctx_, next->parameters());
  CarryParameters(ctx_, next->parameters(), state, model_->parameters(), state_,
                  {.updates = step_});
  UseModel(std::move(next), std::move(state));
}

TaskTraining TaskTraining::Copy() const {
  CHECK(ctx_.device() == Device::kCpu);
  TaskTraining copy(task_, config_, seed_, Context::Cpu(ctx_.matmul_precision()));
  CarryParameters(copy.ctx_, copy.model_->parameters(), copy.state_, model_->parameters(), state_,
                  {});
  copy.step_ = step_;
  return copy;
}

TaskResult TaskTraining::Evaluate() {
  MetricSums sum;
  TaskResult result;
  std::vector<PairCounts> counts(config_.layers);
  for (int64_t i = 0; i < kHeldOutBatches; ++i) {
    model_->Forward(ctx_, task_.HeldOut(i), {.seed = seed_, .step = step_, .training = false});
    sum += model_->ReadSums(ctx_);
    for (int64_t layer = 0; layer < config_.layers; ++layer) {
      counts[layer] += model_->ReadStatistics(ctx_, layer).counts;
    }
  }
  for (const PairCounts& layer : counts) result.density.push_back(layer.Density());
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

}  // namespace treeformer::bench
