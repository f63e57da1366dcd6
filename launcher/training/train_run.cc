#include "launcher/training/train_run.h"

#include <algorithm>
#include <chrono>

#include "datasets/prefetch_loader.h"
#include "datasets/shuffled_loader.h"
#include "datasets/token_dataset.h"
#include "dist/device_communicator.h"
#include "kernels/base/user_error.h"
#include "kernels/matmul/sbgemm.h"
#include "launcher/run/fingerprint.h"
#include "launcher/run/memory_check.h"
#include "launcher/run/run_data.h"
#include "launcher/run/run_directory.h"
#include "launcher/run/run_plan.h"
#include "launcher/run/verified_data.h"
#include "launcher/training/baselines.h"
#include "launcher/training/controls.h"
#include "launcher/training/run_summary.h"
#include "launcher/training/stop_signal.h"
#include "launcher/training/trainer.h"

namespace treeformer {

using config::RunConfig;

namespace {

// What the runs of one command share.
struct Workplace {
  Context& ctx;
  dist::Communicator& communicator;
  const DeviceChoice& device;
  const TrainingData& data;
  Progress& progress;
};

struct Finished {
  int status = 0;
  RunOutcome outcome;  // where status is 0 and the plan complete
};

// Trains up to `last_step`.
Finished RunTo(int64_t last_step, const Workplace& place, const RunConfig& config,
               const std::string& directory, const std::string& what, const RunSpan& span,
               const RunStart& start) {
  if (start.checkpoint) place.progress.Line("going on from " + start.checkpoint->path);
  Trainer trainer(place.ctx, place.communicator, config, place.data, directory,
                  place.device.cuda_graphs, place.progress, span, start.checkpoint, start.state);
  StopSignalsAskForCheckpoint();
  const int status = trainer.Run(last_step);
  if (status != 0 || last_step < PlannedSteps(config)) return {status, {}};
  const TrainingReport& report = trainer.report();
  return {status,
          {what,
           trainer.FinalEvaluation(),
           {report.tokens(), report.seconds()},
           report.AfterFullAttention(),
           trainer.step()}};
}

// The span of run `i` of this command: the first is the experiment, the others are its controls.
RunSpan SpanOf(const RunConfig& config, int64_t i) {
  const int64_t steps = PlannedSteps(config);
  const int64_t of_control = steps - config.bootstrap().full_steps();
  const auto controls = static_cast<int64_t>(ControlsOf(config).size());
  return {i * of_control, steps + controls * of_control};
}

// The runs that ended, the experiment first; a status that is not 0 ends them.
Finished RunControls(const Workplace& place, const RunConfig& config, const std::string& directory,
                     std::vector<RunOutcome>& runs) {
  Finished last;
  for (const Control& control : ControlsOf(config)) {
    place.progress.Line(Sentence("control: ", control.what));
    const std::string of_control = ControlDirectory(directory, control);
    if (place.communicator.rank() == 0) MakeControlDirectory(directory, control);
    place.communicator.Barrier();
    const RunStart start =
        OpenRunDirectory(place.communicator, of_control, control.config, /*resume=*/true);
    last = RunTo(PlannedSteps(control.config), place, control.config, of_control, control.what,
                 SpanOf(config, std::ssize(runs)), start);
    if (last.status != 0) return last;
    runs.push_back(last.outcome);
  }
  return last;
}

void PrintSummary(const std::vector<RunOutcome>& runs, const Baselines& baselines,
                  std::optional<double> floor, const std::string& directory, double seconds,
                  Progress& progress) {
  const RunOutcome& run = runs.front();
  progress.Line("");
  for (const std::string& line : LossTable(baselines, runs, floor)) progress.Line(line);
  progress.Line("layer by layer: " + FormatTrees(run.held_out.trees));
  double training = run.whole.seconds;
  for (size_t i = 1; i < runs.size(); ++i) training += runs[i].after_full_attention.seconds;
  progress.Line(Sentence(run.steps, " steps, ", FormatCount(run.whole.tokens), " tokens at ",
                         FormatCount(run.whole.TokensPerSecond()), " tokens/s; training ",
                         FormatDuration(training), runs.size() > 1 ? " with the controls" : "",
                         ", all together ", FormatDuration(seconds)));
  progress.Line(Sentence("files: ", directory,
                         "/ (metrics.jsonl, TensorBoard events, checkpoints/step_", run.steps,
                         runs.size() > 1 ? ", controls/" : "", ")"));
  progress.Line(Sentence("next: treeformer evaluate --run_dir=", directory, " --text=YOUR_TEXT"));
  if (runs.size() > 1) progress.Line(Verdict(runs));
}

void PrintUnknownShares(const datasets::TokenFileRecords& files, Progress& progress) {
  progress.Line(Sentence("data: ", UnknownShare(files[0]), " of the training tokens are unknown, ",
                         UnknownShare(files[1]), " of the held-out ones"));
}

}  // namespace

int RunTraining(dist::Communicator& communicator, const RunConfig& config,
                const std::string& directory, const RunPart& part, const DeviceChoice& device,
                Progress& progress) {
  const auto begin = std::chrono::steady_clock::now();
  const config::Training& training = config.training();
  Context ctx = MakeContext(communicator, device.device, training);
  const int64_t planned_vocabulary = PlannedVocabulary(config.data(), directory);
  const BootstrapPlan plan = MakeBootstrapPlan(config, planned_vocabulary);
  RequireMemory(ctx, communicator, plan, MicroBatchOf(config, communicator.size()), progress);
  const RunStart start = OpenRunDirectory(communicator, directory, config, part.resume);
  RequireStagesBefore(part.stages, plan, start.checkpoint ? start.checkpoint->step : 0, directory);
  const DataFiles files =
      PrepareRunData(communicator, config.data(), part.text, directory, start.state, progress);
  const datasets::Vocabulary vocabulary = datasets::Vocabulary::Load(files.vocabulary);
  const datasets::TokenFileRecords verified =
      VerifyTokenFiles(communicator, {files.training, files.held_out}, vocabulary,
                       VerifiedDataFile(directory), /*remembers=*/true);
  PrintUnknownShares(verified, progress);
  const datasets::SequenceConfig sequences = datasets::MakeSequenceConfig(config.data());
  const datasets::BatchLayout layout{training.batch_size(), communicator.rank(),
                                     communicator.size(), training.micro_batches()};
  const datasets::TokenDataset training_text(files.training, vocabulary, sequences, verified);
  const datasets::TokenDataset held_out_text(files.held_out, vocabulary, sequences, verified);
  datasets::PrefetchLoader train(
      std::make_unique<datasets::ShuffledLoader>(training_text, layout, training.seed()),
      training.micro_batches());
  const datasets::EvaluationLoader held_out(held_out_text, layout, training.seed(),
                                            training.evaluate_sequences());
  const TrainingData data{vocabulary.size(), sequences.length, vocabulary.hash(), &train,
                          &held_out,         HashData(files)};

  const auto ranks = dist::MakeDeviceCommunicator(communicator, ctx);
  if (ctx.matmul_precision() == MatmulPrecision::kBFloat16 && !cpu::MultipliesBFloat16()) {
    progress.Line(
        "training.matmul_precision is BFLOAT16, which this CPU (no AVX512-BF16) only imitates: "
        "slower than FLOAT32");
  }
  const Workplace place{ctx, *ranks, device, data, progress};
  const bool has_trees = config.bootstrap().tree_steps() > 0;
  const int64_t last_step = part.stages.last_step(plan);
  const bool completes = part.stages.IsLast(plan);
  Finished finished =
      RunTo(last_step, place, config, directory, has_trees ? "trees" : "full attention",
            completes ? SpanOf(config, 0) : RunSpan{0, last_step}, start);
  if (finished.status != 0) return finished.status;
  if (!completes) {
    progress.Line(DescribeEnd(part.stages, plan));
    return 0;
  }
  std::vector<RunOutcome> runs{finished.outcome};
  finished = RunControls(place, config, directory, runs);
  if (finished.status != 0) return finished.status;

  const Baselines baselines =
      MeasureBaselines(communicator, training_text.files().front(), vocabulary, held_out);
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
  PrintSummary(runs, baselines, FloorOfStories(config.data(), vocabulary), directory,
               seconds.count(), progress);
  return 0;
}

}  // namespace treeformer
