#include "launcher/training/trainer.h"

#include <algorithm>
#include <array>
#include <chrono>
#include <cmath>

#include "core/checkpoint/pretrained_weights.h"
#include "core/training/births.h"
#include "core/training/carry.h"
#include "core/training/config.h"
#include "dist/mpi_session.h"
#include "kernels/adamw.h"
#include "kernels/base/user_error.h"
#include "launcher/program/command.h"
#include "launcher/run/fingerprint.h"
#include "launcher/run/plan_report.h"
#include "launcher/run/run_plan.h"
#include "launcher/training/controls.h"
#include "launcher/training/stop_signal.h"

namespace {

double ReadSquaredNorm(Context& ctx, In x) {
  const Buffer sum(ctx.device(), DType::kFloat64, {1});
  SquaredNorm(ctx, sum, x);
  double value = 0;
  Copy(ctx, View<double>(&value, {1}), sum);
  ctx.Synchronize();
  return value;
}

// The last parameter with such a gradient, in the order of the forward pass: where the backward
// pass met it first.
std::string NameOfBadGradient(Context& ctx, const Parameters& parameters) {
  const std::vector<Parameter>& list = parameters.list();
  for (auto parameter = list.rbegin(); parameter != list.rend(); ++parameter) {
    const Out gradient = Parameters::Window(parameters.gradients(), *parameter);
    if (!std::isfinite(ReadSquaredNorm(ctx, gradient))) return parameter->name;
  }
  return "none";
}

}  // namespace

Trainer::Trainer(Context& ctx, dist::Communicator& communicator,
                 const treeformer::RunConfig& config, const TrainingData& data,
                 const std::string& directory, bool cuda_graphs, Progress& progress,
                 const RunSpan& span, const std::optional<CheckpointInfo>& checkpoint,
                 const nlohmann::json& state)
    : ctx_(ctx),
      communicator_(communicator),
      config_(config),
      training_(config.training()),
      data_(data),
      directory_(directory),
      cuda_graphs_(cuda_graphs),
      progress_(progress),
      plan_(MakeBootstrapPlan(config, data.vocabulary)),
      optimizer_config_(MakeOptimizerConfig(config.optimizer())),
      optimizer_(optimizer_config_),
      shape_(ShapeOf(data.train->Get(0))),
      report_(communicator, progress, directory, checkpoint ? checkpoint->step : 0, plan_,
              {training_.batch_size(), shape_.length, 0}, span) {
  data_.train->Restore({.seed = training_.seed()});  // another run may have read before
  if (checkpoint) Restore(*checkpoint, state);
}

void Trainer::Restore(const CheckpointInfo& checkpoint, const nlohmann::json& state) {
  try {
    RestoreState(checkpoint, state);
  } catch (const nlohmann::json::exception& error) {
    throw UserError(Sentence(checkpoint.path, "/manifest.json has a state that cannot be gone on ",
                             "from: ", error.what()));
  }
}

void Trainer::RestoreState(const CheckpointInfo& checkpoint, const nlohmann::json& state) {
  const auto require = [&](bool good, const char* what) {
    if (!good) throw UserError(Sentence(checkpoint.path, " does not fit the run: ", what));
  };
  if (state.at("vocabulary_hash") != data_.vocabulary_hash) {
    throw UserError(Sentence(checkpoint.path, " was made with another vocabulary than the data"));
  }
  const nlohmann::json& loader = state.at("loader");
  for (const auto* number : {&state.at("stage"), &loader.at("seed"), &loader.at("epoch"),
                             &loader.at("next_sample"), &loader.at("step")}) {
    require(number->is_number_integer(), "a number of its state is no integer");
  }
  const int64_t stage = state.at("stage");
  require(stage >= 0 && stage < std::ssize(plan_.stages()), "its stage is not in the plan");
  EnterStage(plan_.stages()[stage]);
  LoadCheckpoint(ctx_, checkpoint, model_->parameters());
  const datasets::LoaderState place{loader.at("seed"), loader.at("epoch"), loader.at("next_sample"),
                                    loader.at("step")};
  require(place.epoch >= 0 && place.next_sample >= 0 && place.step >= 0,
          "its place in the data is negative");
  data_.train->Restore(place);
  report_.Restore(state.at("report"));
  step_ = saved_step_ = checkpoint.step;
  valid_checkpoints_ = {step_};
  // Older versions kept neither, updated in every step, and corrected the bias of all moments for
  // the whole run; so do runs of theirs that go on, until trees grow again.
  require(state.value("updates", nlohmann::json(step_)).is_number_integer(),
          "its number of updates is no integer");
  updates_ = state.value("updates", step_);
  require(updates_ >= 0 && updates_ <= step_, "it has more updates than steps");
  RestoreBirths(state.value("births", nlohmann::json::object()), updates_, checkpoint.path,
                model_->parameters());
}

std::unique_ptr<MaskedLanguageModel> Trainer::MakeModel(const BootstrapStage& stage) {
  const ModelConfig config = plan_.ModelOfStage(stage);
  const DType dtype = ActivationDType(ctx_.device());
  try {
    if (!model_) {
      auto first = std::make_unique<MaskedLanguageModel>(ctx_, config, shape_, dtype);
      first->parameters().Initialize(ctx_, training_.seed(), stage.regrown);
      return first;
    }
    Parameters before = model_->TakeParameters();
    model_.reset();  // its activations
    ctx_.scratch().Release();
    runtime::ReturnFreedMemory();
    auto next = std::make_unique<MaskedLanguageModel>(
        ctx_, config, shape_, dtype, MaskedLanguageModel::ParameterMemory::kCarried);
    CarryParameters(ctx_, next->parameters(), std::move(before),
                    {updates_, stage.regrown > stage_->regrown}, training_.seed(), stage.regrown);
    return next;
  } catch (const UserError& error) {
    throw UserError(Sentence(error.what(), "\nplanned for this rank, without temporaries: ",
                             DescribeMemory(CountMemory(config, shape_, dtype))));
  }
}

void Trainer::EnterStage(const BootstrapStage& stage) {
  reducer_.reset();
  work_.reset();
  model_ = MakeModel(stage);
  work_.emplace(ctx_, *model_, training_.micro_batches(), cuda_graphs_);
  reducer_.emplace(communicator_, model_->parameters().gradients(), training_.bucket_bytes());
  stage_ = &stage;
  progress_.Line(Describe(stage));
}

double Trainer::LearningRateOfStep() const {
  if (!optimizer_config_.restart_each_stage) {
    return LearningRate(optimizer_config_, step_, plan_.steps());
  }
  return LearningRate(optimizer_config_, step_ - stage_->first_step,
                      stage_->last_step - stage_->first_step);
}

StepResult Trainer::Step() {
  const auto begin = std::chrono::steady_clock::now();
  const StepInfo info{.seed = training_.seed(), .step = step_, .training = true};
  const GradientHook reduce = [this](Range range) {
    reducer_->Ready(range.begin, range.end, ctx_.stream());
  };
  const bool reduces = communicator_.size() > 1, logged = IsDue(training_.log_every(), step_ + 1);
  StepResult result;
  std::chrono::duration<double> measuring{};
  result.learning_rate = LearningRateOfStep();
  for (int micro = 0; micro < training_.micro_batches(); ++micro) {
    const datasets::Batch batch = data_.train->Get(micro);
    const bool last = micro + 1 == training_.micro_batches();
    work_->Accumulate(ctx_, micro, batch, info, reduces && last ? reduce : GradientHook());
    if (logged) measuring += MeasureTrees();
    result.loss.targets += batch.CountTargets();
    result.tokens += static_cast<double>(batch.CountTokens());
  }
  if (reduces) reducer_->Wait(ctx_.stream());
  std::array<double, 2> counts = {result.tokens, static_cast<double>(result.loss.targets)};
  communicator_.Sum(counts);
  result.tokens = counts[0];
  result.loss.targets = static_cast<int64_t>(counts[1]);
  if (result.loss.targets > 0) {
    Update(result);
  } else {
    model_->ForgetBalanceCounts(ctx_);
  }
  if (!result.IsFinite()) return result;

  data_.train->NextStep();
  const std::chrono::duration<double> all = std::chrono::steady_clock::now() - begin;
  result.seconds = (all - measuring).count();
  return result;
}

// Of the micro-batch under way; the time that it takes is none of the step's.
std::chrono::duration<double> Trainer::MeasureTrees() {
  ctx_.Synchronize();
  const auto begin = std::chrono::steady_clock::now();
  report_.AddTrees(ctx_, *model_);
  return std::chrono::steady_clock::now() - begin;
}

void Trainer::Update(StepResult& result) {
  work_->Update(ctx_, optimizer_, static_cast<double>(result.loss.targets), result.learning_rate,
                updates_ + 1);
  const StepSums sums = work_->Read(ctx_);
  std::array<double, 2> all = {sums.loss, sums.correct};
  communicator_.Sum(all);
  result.loss.loss = all[0];
  result.loss.correct = static_cast<int64_t>(all[1]);
  result.squared_norm = sums.squared_norm;
  if (!result.IsFinite()) return;
  ++updates_;
  SumBalanceCounts();
  model_->NudgeBalance(ctx_);
}

void Trainer::SumBalanceCounts() {
  for (Out counts : model_->ReadBalanceCounts(ctx_)) {
    communicator_.AllReduceSum(counts, ctx_.stream());
  }
}

void Trainer::Begin() {
  if (model_ == nullptr) {
    EnterStage(plan_.StageOfStep(step_));
    if (!training_.start_from().empty()) {
      progress_.Line(PretrainedWeights(training_.start_from()).Load(ctx_, model_->parameters()));
    }
  }
  if (communicator_.size() == 1) return;
  const std::string differences = DescribeDifferences(
      communicator_, {{"configuration", HashText(PrintRunConfig(config_))},
                      {"version of treeformer", HashText(TREEFORMER_VERSION)},
                      {"vocabulary or token file", data_.hash},
                      {"set of initial parameters", HashValues(ctx_, model_->parameters())}});
  if (!differences.empty()) {
    throw UserError(Sentence("the ranks do not begin alike: ", differences,
                             "; expected the same on all of them"));
  }
}

bool Trainer::RanksAgree() {
  if (communicator_.size() == 1) return true;
  const std::string differences = DescribeDifferences(
      communicator_, {{"set of parameters", HashValues(ctx_, model_->parameters())}});
  if (differences.empty()) return true;
  if (communicator_.rank() == 0) {
    progress_.Error(Sentence(
        "step ", step_, ": the ranks have drifted apart: ", differences,
        "; their machines compute differently, or one is at fault; checkpoints of the steps "
        "before are good"));
  }
  return false;
}

int Trainer::Run() {
  Begin();
  while (step_ < plan_.steps()) {
    const BootstrapStage& stage = plan_.StageOfStep(step_);
    if (stage_ != &stage) EnterStage(stage);
    const StepResult result = Step();
    if (!result.IsFinite()) return Diverge(result);
    ++step_;
    report_.AddStep(result, step_, stage);
    if (IsDue(training_.log_every(), step_)) {
      report_.Log(ctx_, *model_, step_, stage, IsDue(training_.histogram_every(), step_));
    }
    const bool evaluate = IsDue(training_.evaluate_every(), step_), stop = StopRequested();
    const int64_t every = training_.checkpoint_every();
    const bool save = stop || (every > 0 && step_ % every == 0);
    if ((evaluate || save) && !RanksAgree()) return dist::kInternalError;
    if (evaluate) {
      RunEvaluation();
      report_.LogEvaluation(*evaluation_, step_, stage);
    }
    if (stage.height == 0 && step_ == stage.last_step) BeginControls();
    if (save) WriteCheckpoint();
    if (stop) return kCheckpointed;
  }
  if (saved_step_ != step_) WriteCheckpoint();
  return 0;
}

bool Trainer::IsDue(int64_t every, int64_t step) const {
  return step == stage_->last_step || (every > 0 && step % every == 0);
}

bool Trainer::StopRequested() {
  const int signal = static_cast<int>(communicator_.Max(StopSignal()));
  if (signal == 0) return false;
  progress_.Line(Sentence(StopSignalName(signal), ": writing a checkpoint at step ", step_,
                          " and stopping; the same command goes on from there"));
  return true;
}

std::string Trainer::Advice() const {
  if (training_.start_from().empty()) {
    return "; a lower optimizer.learning_rate or a longer warm-up helps";
  }
  const std::string weights = "the weights of training.start_from, " + training_.start_from();
  if (step_ == 0) return "; " + weights + ", are damaged, or not meant for such a model";
  return "; the run began with " + weights +
         ": they may be at fault, or a lower optimizer.learning_rate or a longer warm-up helps";
}

int Trainer::Diverge(const StepResult& result) {
  if (communicator_.rank() == 0) {
    progress_.Error(Sentence(
        "step ", step_, ": the loss is ", result.loss.MeanLoss(), " and the norm of the gradient ",
        result.GradientNorm(), "; the first gradient that is not finite, from the back: ",
        NameOfBadGradient(ctx_, model_->parameters()),
        std::isfinite(result.squared_norm) ? "" : "; nothing was updated", Advice()));
  }
  return dist::kInternalError;
}

void Trainer::RunEvaluation() {
  evaluation_ = Evaluate(ctx_, communicator_, *model_, *data_.held_out, data_.held_out_steps,
                         training_.micro_batches());
}

// Of a run that had ended before, the record of it is there.
const Evaluation& Trainer::FinalEvaluation() {
  if (!evaluation_) RunEvaluation();
  return *evaluation_;
}

nlohmann::json Trainer::State(const treeformer::RunConfig& config) const {
  const datasets::LoaderState loader = data_.train->state();
  return {{"config", PrintRunConfig(config)},
          {"stage", stage_->index},
          {"updates", updates_},
          {"births", BirthsOf(model_->parameters())},
          {"loader",
           {{"seed", loader.seed},
            {"epoch", loader.epoch},
            {"next_sample", loader.next_sample},
            {"step", loader.step}}},
          {"report", report_.state()},
          {"vocabulary_hash", data_.vocabulary_hash},
          {"data_hash", data_.hash},
          {"ranks", communicator_.size()},
          {"version", TREEFORMER_VERSION}};
}

void Trainer::WriteCheckpoint() {
  saved_step_ = step_;
  if (communicator_.rank() != 0) return;
  const std::string directory = directory_ + "/checkpoints";
  SaveCheckpoint(ctx_, directory, step_, model_->parameters(), State(config_));
  valid_checkpoints_.insert(step_);
  PruneCheckpoints(directory, training_.keep_checkpoints(), valid_checkpoints_);
}

void Trainer::BeginControls() {
  if (communicator_.rank() != 0) return;
  for (const Control& control : ControlsOf(config_)) {
    MakeControlDirectory(directory_, control);
    SaveCheckpoint(ctx_, ControlDirectory(directory_, control) + "/checkpoints", step_,
                   model_->parameters(), State(control.config));
  }
}
