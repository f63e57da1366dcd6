#pragma once

// What a run tells while it trains: lines, the progress bar, metrics.jsonl and event files.  Rank 0
// writes; all ranks take part in the sums.

#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "core/model/model_stage.h"
#include "core/stateful.h"
#include "core/training/bootstrap_plan.h"
#include "dist/communicator.h"
#include "launcher/report/metrics.h"
#include "launcher/report/progress.h"
#include "launcher/training/evaluation.h"
#include "launcher/training/layer_metrics.h"
#include "launcher/training/step_runner.h"

namespace treeformer {

// A run among the runs of one command, for the bar and the ETA: steps before its step 0, and of
// all.
struct RunSpan {
  int64_t before = 0, steps = 0;
};

struct SpeedTotals {
  double tokens = 0, seconds = 0;
  double TokensPerSecond() const { return seconds > 0 ? tokens / seconds : 0; }
};

class TrainingReport : public Stateful {
 public:
  // `global_batch`: of all ranks and micro-batches.  The files of `directory` go on after
  // `last_step`; `plan` outlives this.
  TrainingReport(dist::Communicator& communicator, Progress& progress, const std::string& directory,
                 int64_t last_step, const BootstrapPlan& plan, const BatchShape& global_batch,
                 const RunSpan& span);

  // What the next log line needs to have the loss of an undisturbed run: the field "report".
  void Save(nlohmann::json& state) const override;
  void Restore(const nlohmann::json& state, int64_t step) override;

  void AddStep(const StepResult& result, int64_t step, const BootstrapStage& stage);
  // A micro-batch of a step that will be logged, after its gradients.
  void AddTrees(Context& ctx, const ModelStage& model) { trees_.Add(ctx, model); }
  // The mean loss since the last call, and the last step's trees.  Collective.
  void Log(Context& ctx, const ModelStage& model, int64_t step, const BootstrapStage& stage,
           bool histograms);
  void LogEvaluation(const Evaluation& evaluation, int64_t step, const BootstrapStage& stage);

  // Totals of the training steps, over all parts of the run and all ranks.
  double seconds() const { return seconds_; }
  double tokens() const { return tokens_; }
  // The same of the steps after the full-attention stage that comes before trees.
  SpeedTotals AfterFullAttention() const;

 private:
  struct Interval {  // steps since the last log line
    MetricSums loss;
    double tokens = 0, seconds = 0;
    int64_t steps = 0;
    int64_t without_update = 0;  // of the steps: no masked position in the global batch
  };
  void MeasureSpeed(const ModelConfig& model, const std::vector<double>& density);
  nlohmann::ordered_json Record(int64_t step, const BootstrapStage& stage) const;
  std::string DescribeLoss() const;  // since the last line
  void PrintLine(int64_t step, const LayerMetrics& layers) const;
  double SecondsLeft(int64_t step) const;

  dist::Communicator& communicator_;
  Progress& progress_;
  const BootstrapPlan& plan_;
  const BatchShape global_batch_;
  const RunSpan span_;
  std::unique_ptr<MetricsWriter> writer_;  // rank 0
  LayerStatistics trees_;                  // of the last step
  StepResult last_;
  Interval interval_;
  double tokens_ = 0, seconds_ = 0;
  SpeedTotals full_attention_;  // tokens_, seconds_ at the end of that stage
  // The speed of the last whole interval.
  double tokens_per_second_ = 0, flops_per_second_ = 0, seconds_per_step_ = 0;
};

// Two digits each, but 0 and 1 in full: "1 1 .21 .0018"; "-" for NaN.
std::string FormatShares(const std::vector<double>& shares);
// "density 1 1 .21 .18", and where a layer has trees "  without keys 0 0 .01 .24": the share of
// queries that attend to nothing.  TC has no density: "TC(.03)" is its share of the operations of
// full attention.
std::string FormatTrees(const TreeShares& trees);

}  // namespace treeformer
