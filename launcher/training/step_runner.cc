#include "launcher/training/step_runner.h"

#include <algorithm>
#include <cmath>
#include <iterator>
#include <nlohmann/json.hpp>

#include "core/checkpoint/checkpoint_part.h"
#include "core/training/births.h"
#include "core/training/carry.h"
#include "core/training/config.h"
#include "dist/schedule.h"
#include "kernels/adamw.h"
#include "kernels/base/user_error.h"
#include "launcher/run/plan_report.h"

namespace treeformer {

using nlohmann::json;

namespace {

// The last parameter with such a gradient, in the order of the forward pass: where the backward
// pass met it first.
std::string FindBadGradient(Context& ctx, const Parameters& parameters) {
  const std::vector<Parameter>& list = parameters.list();
  for (auto parameter = list.rbegin(); parameter != list.rend(); ++parameter) {
    const Out gradient = Parameters::Window(parameters.gradients(), *parameter);
    if (!std::isfinite(ReadSquaredNorm(ctx, gradient))) return parameter->name;
  }
  return "none";
}

// The layer of the first gradient in `range`, for the recorder of collectives.
int LayerOf(const Parameters& parameters, Range range) {
  const auto begin = [](const Parameter& parameter) { return parameter.range.begin; };
  const auto next = std::ranges::upper_bound(parameters.list(), range.begin, {}, begin);
  return static_cast<int>(std::prev(next)->layer);
}

}  // namespace

double StepResult::GradientNorm() const {
  return std::sqrt(squared_norm) / static_cast<double>(std::max<int64_t>(loss.targets, 1));
}

bool StepResult::IsFinite() const {
  return std::isfinite(loss.Sum("loss")) && std::isfinite(squared_norm);
}

StepRunner::StepRunner(Context& ctx, dist::Communicator& communicator,
                       const config::RunConfig& config, const BootstrapPlan& plan,
                       datasets::Loader& train, bool cuda_graphs)
    : ctx_(ctx),
      communicator_(communicator),
      training_(config.training()),
      plan_(plan),
      train_(train),
      cuda_graphs_(cuda_graphs),
      rates_(MakeOptimizerConfig(config.optimizer()), plan),
      optimizer_(MakeOptimizerConfig(config.optimizer())),
      shape_(ShapeOf(train.Get(0))) {}

void StepRunner::MakeModel(const BootstrapStage& stage) {
  const ModelConfig config = plan_.ModelOfStage(stage);
  const DType dtype = ActivationDType(ctx_.device());
  try {
    if (!model_) {
      model_ = std::make_unique<ModelStage>(ctx_, config, shape_, dtype);
      model_->parameters().Initialize(ctx_, training_.seed(), stage.regrown);
      state_ = OptimizerState(ctx_, model_->parameters());
      return;
    }
    Parameters before = model_->TakeParameters();
    model_.reset();  // its activations
    ctx_.scratch().Release();
    runtime::ReturnFreedMemory();
    model_ = std::make_unique<ModelStage>(ctx_, config, shape_, dtype,
                                          StageOptions{.own_parameters = false});
    state_ = CarryParameters(ctx_, model_->parameters(), std::move(before), std::move(state_),
                             {updates_, stage.regrown > stage_->regrown}, training_.seed(),
                             stage.regrown);
  } catch (const UserError& error) {
    throw UserError(Sentence(error.what(), "\nplanned for this rank, without temporaries: ",
                             DescribeMemory(CountMemory(config, shape_, dtype))));
  }
}

void StepRunner::EnterStage(const BootstrapStage& stage) {
  reducer_.reset();
  work_.reset();
  MakeModel(stage);
  work_.emplace(ctx_, *model_, training_.micro_batches(), cuda_graphs_);
  reducer_.emplace(communicator_, model_->parameters().gradients(), training_.bucket_bytes());
  stage_ = &stage;
}

void StepRunner::Save(json& state) const {
  state["stage"] = stage_->index;
  state["updates"] = updates_;
  state["births"] = BirthsOf(model_->parameters(), state_);
}

// Older versions kept neither updates nor births, updated in every step, and corrected the bias of
// all moments for the whole run; so do runs of theirs that go on, until trees grow again.
void StepRunner::Restore(const json& state, int64_t step) {
  const json stage = state.at("stage"), updates = state.value("updates", json(step));
  if (!stage.is_number_integer() || stage < 0 || stage >= std::ssize(plan_.stages())) {
    throw UserError(Sentence("its stage is ", stage.dump(), "; expected one of the plan's ",
                             plan_.stages().size(), ", from 0"));
  }
  if (!updates.is_number_integer() || updates < 0 || updates > step) {
    throw UserError(Sentence("its number of updates is ", updates.dump(), "; expected 0 to ", step,
                             ", its steps"));
  }
  EnterStage(plan_.stages()[stage.get<int64_t>()]);
  updates_ = updates;
  RestoreBirths(state.value("births", json::object()), updates_, model_->parameters(), state_);
}

std::vector<CheckpointFile> StepRunner::Files() const {
  const Parameters& parameters = model_->parameters();
  return {{"model", parameters.Tensors()}, {"optimizer", state_.Tensors(parameters)}};
}

void StepRunner::Load(const CheckpointInfo& checkpoint) {
  Parameters& parameters = model_->parameters();
  LoadValues(ctx_, CheckpointPart(checkpoint, "model"), parameters);
  CheckpointPart(checkpoint, "optimizer").Load(ctx_, state_.Tensors(parameters));
}

StepResult StepRunner::Step(int64_t step, const Hook& after_micro_batch) {
  const auto begin = std::chrono::steady_clock::now();
  std::chrono::duration<double> measuring{};
  StepResult result;
  result.learning_rate = rates_.At(step);
  Accumulate(step, after_micro_batch, measuring);
  work_->Update(ctx_, optimizer_, state_, result.learning_rate, updates_ + 1);
  const StepSums sums = work_->Read(ctx_);
  result.loss = sums.metrics;
  result.tokens = sums.tokens;
  result.squared_norm = sums.squared_norm;
  if (!result.IsFinite()) return result;

  if (result.loss.targets > 0) {
    ++updates_;
    optimizer_.CountUpdate(model_->parameters(), state_);
    SumBalanceCounts();
    model_->NudgeBalance(ctx_);
  } else {
    model_->ForgetBalanceCounts(ctx_);
  }
  train_.NextStep();
  const std::chrono::duration<double> all = std::chrono::steady_clock::now() - begin;
  result.seconds = (all - measuring).count();
  return result;
}

// The gradients and the sums of the global batch.
void StepRunner::Accumulate(int64_t step, const Hook& after_micro_batch,
                            std::chrono::duration<double>& measuring) {
  const int micro_batches = training_.micro_batches();
  const bool reduces = communicator_.size() > 1;
  const GradientHook reduce = [this](Range range) {
    const dist::Recorder::InLayer in_layer(communicator_.recorder(),
                                           LayerOf(model_->parameters(), range));
    reducer_->Ready(range.begin, range.end, ctx_.stream());
  };
  work_->Begin(ctx_, {.seed = training_.seed(), .step = step, .training = true});
  int left = micro_batches;
  for (const dist::Action& action : dist::OneByOne(micro_batches)) {
    if (action.verb == dist::Verb::kForward) {
      work_->Forward(ctx_, action.micro, train_.Get(action.micro));
      continue;
    }
    const bool last = --left == 0;
    work_->Backward(ctx_, action.micro, reduces && last ? reduce : GradientHook());
    if (after_micro_batch) measuring += Measure(after_micro_batch);
  }
  if (reduces) reducer_->Wait(ctx_.stream());
  communicator_.AllReduceSum(work_->sums(ctx_), ctx_.stream());
}

std::chrono::duration<double> StepRunner::Measure(const Hook& hook) {
  ctx_.Synchronize();
  const auto begin = std::chrono::steady_clock::now();
  hook();
  return std::chrono::steady_clock::now() - begin;
}

void StepRunner::SumBalanceCounts() {
  for (Out counts : model_->ReadBalanceCounts(ctx_)) {
    communicator_.AllReduceSum(counts, ctx_.stream());
  }
}

std::string StepRunner::NameOfBadGradient() { return FindBadGradient(ctx_, model_->parameters()); }

}  // namespace treeformer
