#include "launcher/train_run.h"

#include <algorithm>
#include <chrono>

#include "datasets/prefetch_loader.h"
#include "dist/device_communicator.h"
#include "kernels/sbgemm.h"
#include "kernels/user_error.h"
#include "launcher/fingerprint.h"
#include "launcher/memory_check.h"
#include "launcher/run_data.h"
#include "launcher/run_directory.h"
#include "launcher/run_plan.h"
#include "launcher/stop_signal.h"
#include "launcher/trainer.h"
#include "launcher/verified_data.h"

using treeformer::RunConfig;

namespace {

void PrintSummary(Trainer& trainer, const std::string& directory, double seconds,
                  Progress& progress) {
  const Evaluation& held_out = trainer.FinalEvaluation();
  const TrainingReport& report = trainer.report();
  progress.Line(Sentence("\nheld-out text: loss ", FormatFixed(held_out.loss.MeanLoss(), 3),
                         ", accuracy ", FormatFixed(100 * held_out.loss.Accuracy(), 1),
                         " %, perplexity ", FormatFixed(held_out.Perplexity(), 1), " over ",
                         held_out.loss.targets, " masked tokens"));
  progress.Line("layer by layer: " + FormatDensity(held_out.density, held_out.empty_queries));
  progress.Line(Sentence(trainer.step(), " steps, ", FormatCount(report.tokens()), " tokens at ",
                         FormatCount(report.tokens() / report.seconds()), " tokens/s; training ",
                         FormatDuration(report.seconds()), ", all together ",
                         FormatDuration(seconds)));
  progress.Line(Sentence("files: ", directory,
                         "/ (metrics.jsonl, TensorBoard events, checkpoints/step_", trainer.step(),
                         ")"));
  progress.Line(Sentence("next: treeformer evaluate --run_dir=", directory, " --text=YOUR_TEXT"));
}

void PrintUnknownShares(const datasets::TokenFileRecords& files, Progress& progress) {
  const auto share = [](const datasets::TokenFileRecord& file) {
    return FormatFixed(100.0 * static_cast<double>(file.unknown_tokens) /
                           static_cast<double>(std::max<int64_t>(file.tokens, 1)),
                       3);
  };
  progress.Line(Sentence("data: ", share(files[0]), " % of the training tokens are unknown, ",
                         share(files[1]), " % of the held-out ones"));
}

}  // namespace

int RunTraining(dist::Communicator& communicator, const RunConfig& config,
                const std::string& directory, bool resume, const DeviceChoice& device,
                Progress& progress) {
  const auto begin = std::chrono::steady_clock::now();
  const treeformer::Training& training = config.training();
  Context ctx = MakeContext(communicator, device.device, training);
  RequireMemory(ctx, communicator, MakeBootstrapPlan(config, PlannedVocabulary(config.data())),
                MicroBatchOf(config, communicator.size()), progress);
  const RunStart start = OpenRunDirectory(communicator, directory, config, resume);
  const DataFiles files = PrepareRunData(communicator, config.data(), directory,
                                         /*may_rebuild=*/!start.checkpoint, progress);
  const datasets::Vocabulary vocabulary = datasets::Vocabulary::Load(files.vocabulary);
  const datasets::TokenFileRecords verified =
      VerifyTokenFiles(communicator, {files.training, files.held_out}, vocabulary,
                       VerifiedDataFile(directory), /*remembers=*/true);
  PrintUnknownShares(verified, progress);
  const datasets::SequenceConfig sequences = datasets::MakeSequenceConfig(config.data());
  const datasets::BatchLayout layout{training.batch_size(), communicator.rank(),
                                     communicator.size(), training.micro_batches()};
  datasets::PrefetchLoader train(std::make_unique<datasets::TokenLoader>(
                                     files.training, vocabulary, sequences, layout,
                                     datasets::SampleOrder::kShuffled, training.seed(), verified),
                                 training.micro_batches());
  datasets::TokenLoader held_out(files.held_out, vocabulary, sequences, layout,
                                 datasets::SampleOrder::kInOrder, training.seed(), verified);
  const TrainingData data{vocabulary.size(),
                          sequences.length,
                          vocabulary.hash(),
                          &train,
                          &held_out,
                          held_out.steps(),
                          HashText(Sentence(vocabulary.hash(), " ", HashTokenFile(files.training),
                                            " ", HashTokenFile(files.held_out)))};

  const auto ranks = dist::MakeDeviceCommunicator(communicator, ctx);
  if (ctx.matmul_precision() == MatmulPrecision::kBFloat16 && !cpu::MultipliesBFloat16()) {
    progress.Line(
        "training.matmul_precision is BFLOAT16, which this CPU (no AVX512-BF16) only imitates: "
        "slower than FLOAT32");
  }
  if (start.checkpoint) progress.Line("going on from " + start.checkpoint->path);
  Trainer trainer(ctx, *ranks, config, data, directory, device.cuda_graphs, progress,
                  start.checkpoint, start.state);
  StopSignalsAskForCheckpoint();
  const int status = trainer.Run();
  const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - begin;
  if (status == 0) PrintSummary(trainer, directory, seconds.count(), progress);
  return status;
}
