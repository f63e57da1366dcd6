#include "launcher/training/trainer.h"

#include <algorithm>
#include <cmath>

#include "core/checkpoint/pretrained_weights.h"
#include "dist/mpi_session.h"
#include "kernels/base/fault_point.h"
#include "kernels/base/user_error.h"
#include "launcher/program/command.h"
#include "launcher/run/fingerprint.h"
#include "launcher/run/plan_report.h"
#include "launcher/run/run_plan.h"
#include "launcher/training/controls.h"
#include "launcher/training/stop_signal.h"

namespace treeformer {

Trainer::Trainer(Context& ctx, dist::Communicator& communicator, const config::RunConfig& config,
                 const TrainingData& data, const std::string& directory, bool cuda_graphs,
                 Progress& progress, const RunSpan& span,
                 const std::optional<CheckpointInfo>& checkpoint, const nlohmann::json& state)
    : ctx_(ctx),
      communicator_(communicator),
      config_(config),
      training_(config.training()),
      data_(data),
      directory_(directory),
      progress_(progress),
      plan_(MakeBootstrapPlan(config, data.vocabulary)),
      runner_(ctx, communicator, config, plan_, *data.train, cuda_graphs),
      loader_(*data.train),
      report_(communicator, progress, directory, checkpoint ? checkpoint->step : 0, plan_,
              {training_.batch_size(), runner_.shape().length, 0}, span) {
  data_.train->Restore({.seed = training_.seed()});  // another run may have read before
  if (checkpoint) Restore(*checkpoint, state);
}

void Trainer::Restore(const CheckpointInfo& checkpoint, const nlohmann::json& state) {
  try {
    RestoreState(checkpoint, state);
  } catch (const nlohmann::json::exception& error) {
    throw UserError(Sentence(checkpoint.path, "/manifest.json has a state that cannot be gone on ",
                             "from: ", error.what()));
  } catch (const UserError& error) {
    throw UserError(Sentence("the run cannot go on from ", checkpoint.path, ": ", error.what()));
  }
}

void Trainer::RestoreState(const CheckpointInfo& checkpoint, const nlohmann::json& state) {
  if (state.at("vocabulary_hash") != data_.vocabulary_hash) {
    throw UserError("it was made with another vocabulary than the data");
  }
  for (Stateful* component : components_) component->Restore(state, checkpoint.step);
  progress_.Line(Describe(*runner_.stage()));
  runner_.Load(checkpoint);
  step_ = saved_step_ = checkpoint.step;
  valid_checkpoints_ = {step_};
}

void Trainer::EnterStage(const BootstrapStage& stage) {
  runner_.EnterStage(stage);
  progress_.Line(Describe(stage));
}

// In a step that is logged, the trees of each micro-batch are counted.
StepResult Trainer::Step() {
  const bool logged = IsDue(training_.log_every(), step_ + 1);
  const auto count = [this] { report_.AddTrees(ctx_, runner_.model()); };
  return runner_.Step(step_, logged ? StepRunner::Hook(count) : StepRunner::Hook());
}

void Trainer::Begin() {
  if (runner_.stage() == nullptr) {
    EnterStage(plan_.StageOfStep(step_));
    if (!training_.start_from().empty()) {
      progress_.Line(
          PretrainedWeights(training_.start_from()).Load(ctx_, runner_.model().parameters()));
    }
  }
  if (communicator_.size() == 1) return;
  const std::string differences = DescribeDifferences(
      communicator_,
      {{"configuration", HashText(PrintRunConfig(config_))},
       {"version of treeformer", HashText(TREEFORMER_VERSION)},
       {"vocabulary or token file", data_.hash},
       {"set of initial parameters", HashValues(ctx_, runner_.model().parameters())}});
  if (!differences.empty()) {
    throw UserError(Sentence("the ranks do not begin alike: ", differences,
                             "; expected the same on all of them"));
  }
}

bool Trainer::RanksAgree() {
  if (communicator_.size() == 1) return true;
  const std::string differences = DescribeDifferences(
      communicator_, {{"set of parameters", HashValues(ctx_, runner_.model().parameters())}});
  if (differences.empty()) return true;
  if (communicator_.rank() == 0) {
    progress_.Error(Sentence(
        "step ", step_, ": the ranks have drifted apart: ", differences,
        "; their machines compute differently, or one is at fault; checkpoints of the steps "
        "before are good"));
  }
  return false;
}

int Trainer::Run(int64_t last_step) {
  Begin();
  while (step_ < last_step) {
    const BootstrapStage& stage = plan_.StageOfStep(step_);
    if (runner_.stage() != &stage) EnterStage(stage);
    const StepResult result = Step();
    FaultPoint("update.before_report");
    if (!result.IsFinite()) return Diverge(result);
    ++step_;
    report_.AddStep(result, step_, stage);
    if (IsDue(training_.log_every(), step_)) {
      report_.Log(ctx_, runner_.model(), step_, stage, IsDue(training_.histogram_every(), step_));
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
  return step == runner_.stage()->last_step || (every > 0 && step % every == 0);
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
        result.GradientNorm(),
        "; the first gradient that is not finite, from the back: ", runner_.NameOfBadGradient(),
        std::isfinite(result.squared_norm) ? "" : "; nothing was updated", Advice()));
  }
  return dist::kInternalError;
}

void Trainer::RunEvaluation() {
  evaluation_ = Evaluate(ctx_, communicator_, runner_.model(), *data_.held_out);
}

// A run that had ended before has its record already.
const Evaluation& Trainer::FinalEvaluation() {
  if (!evaluation_) RunEvaluation();
  return *evaluation_;
}

nlohmann::json Trainer::State(const config::RunConfig& config) const {
  nlohmann::json state = {{"config", PrintRunConfig(config)},
                          {"vocabulary_hash", data_.vocabulary_hash},
                          {"data_hash", data_.hash},
                          {"ranks", communicator_.size()},
                          {"version", TREEFORMER_VERSION}};
  for (const Stateful* component : components_) component->Save(state);
  return state;
}

void Trainer::WriteCheckpoint() {
  saved_step_ = step_;
  if (communicator_.rank() != 0) return;
  const std::string directory = directory_ + "/checkpoints";
  SaveCheckpoint(ctx_, directory, step_, runner_.Files(), State(config_));
  valid_checkpoints_.insert(step_);
  PruneCheckpoints(directory, training_.keep_checkpoints(), valid_checkpoints_);
}

void Trainer::BeginControls() {
  if (communicator_.rank() != 0) return;
  for (const Control& control : ControlsOf(config_)) {
    MakeControlDirectory(directory_, control);
    SaveCheckpoint(ctx_, ControlDirectory(directory_, control) + "/checkpoints", step_,
                   runner_.Files(), State(control.config));
  }
}

}  // namespace treeformer
