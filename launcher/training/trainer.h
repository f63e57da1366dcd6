#pragma once

// Trainer: the loop.  Runs the stages of a BootstrapPlan on the ranks of a communicator:
//
//   each step    of launcher/training/step_runner.h, which has the model
//   after it     lines and metrics, evaluations and checkpoints where they are due; a stop signal
//   at the start, before each evaluation and each checkpoint
//                the ranks compare fingerprints (launcher/run/fingerprint.h)
//
// The run directory gets metrics.jsonl, event files and checkpoints/step_N (rank 0 writes).  A run
// that goes on from a checkpoint gives the same bits as one that was never stopped, wherever it was
// stopped; what the stopped run logged beyond the checkpoint is cut off.

#include <array>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <set>
#include <string>

#include "core/checkpoint/checkpoint.h"
#include "core/model/model_stage.h"
#include "core/training/bootstrap_plan.h"
#include "datasets/loader.h"
#include "launcher/report/progress.h"
#include "launcher/run/run_config.h"
#include "launcher/training/evaluation.h"
#include "launcher/training/loader_place.h"
#include "launcher/training/step_runner.h"
#include "launcher/training/training_report.h"

namespace treeformer {

// What the trainer reads; the loaders are cut for this rank.
struct TrainingData {
  int64_t vocabulary = 0;
  int64_t sequence_length = 0;
  uint64_t vocabulary_hash = 0;
  datasets::Loader* train = nullptr;
  const datasets::EvaluationLoader* held_out = nullptr;
  uint64_t hash = 0;  // of vocabulary and token files
};

class Trainer {
 public:
  // Goes on from `checkpoint` if given; `state` is its state.  Throws UserError where
  // configuration, data and checkpoint do not fit together.
  Trainer(Context& ctx, dist::Communicator& communicator, const config::RunConfig& config,
          const TrainingData& data, const std::string& directory, bool cuda_graphs,
          Progress& progress, const RunSpan& span, const std::optional<CheckpointInfo>& checkpoint,
          const nlohmann::json& state);

  // Trains up to `last_step` of the plan and returns the exit status: 0, with a checkpoint there;
  // kCheckpointed after a stop signal; dist::kInternalError, with a sentence on stderr, when the
  // loss or the gradient is not a number, before the update, or when the ranks' parameters are no
  // longer the same, before they are evaluated or saved.  Throws UserError where the ranks do not
  // begin with the same configuration, data and parameters.
  int Run(int64_t last_step);

  // The last evaluation, at the end of the run; evaluates when there is none.
  const Evaluation& FinalEvaluation();
  const TrainingReport& report() const { return report_; }
  int64_t step() const { return step_; }

 private:
  void EnterStage(const BootstrapStage& stage);
  void Restore(const CheckpointInfo& checkpoint, const nlohmann::json& state);
  void RestoreState(const CheckpointInfo& checkpoint, const nlohmann::json& state);
  StepResult Step();
  int Diverge(const StepResult& result);
  std::string Advice() const;  // what helps against the divergence
  void Begin();
  bool RanksAgree();  // on the parameters; a sentence on stderr where not
  void RunEvaluation();
  void WriteCheckpoint();
  void BeginControls();
  nlohmann::json State(const config::RunConfig& config) const;
  bool StopRequested();
  bool IsDue(int64_t every, int64_t step) const;  // after so many steps

  Context& ctx_;
  dist::Communicator& communicator_;
  const config::RunConfig& config_;
  const config::Training& training_;
  const TrainingData& data_;
  const std::string directory_;
  Progress& progress_;
  const BootstrapPlan plan_;

  StepRunner runner_;
  LoaderPlace loader_;

  int64_t step_ = 0;  // done
  int64_t saved_step_ = -1;
  std::set<int64_t> valid_checkpoints_;   // the one resumed from, and those written since
  std::optional<Evaluation> evaluation_;  // at step_
  TrainingReport report_;
  const std::array<Stateful*, 3> components_{&runner_, &loader_, &report_};
};

}  // namespace treeformer
