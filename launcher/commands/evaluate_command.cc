#include <cstdlib>
#include <filesystem>
#include <random>

#include "datasets/token_dataset.h"
#include "kernels/base/user_error.h"
#include "launcher/commands/commands.h"
#include "launcher/program/flag_values.h"
#include "launcher/program/flags.h"
#include "launcher/program/trained_run.h"
#include "launcher/run/run_data.h"
#include "launcher/run/verified_data.h"
#include "launcher/training/evaluation.h"
#include "launcher/training/training_report.h"

namespace treeformer {

namespace fs = std::filesystem;

namespace {

// The token file of the process's flags; `temporary` is its place where it is made from --text.
std::string EvaluationFile(dist::Communicator& communicator, const TrainedRun& trained,
                           const DataFiles& files, const std::string& temporary,
                           Progress& progress) {
  if (!FLAGS_data.empty()) return FLAGS_data;
  if (FLAGS_text.empty()) return files.held_out;
  PrepareEvaluationText(communicator, trained.config.data(), FLAGS_text, files.vocabulary,
                        temporary, progress);
  return temporary;
}

double RandomName() {
  std::random_device random;
  constexpr uint64_t kExactInDouble = uint64_t{1} << 53;
  return static_cast<double>((uint64_t{random()} << 32 | random()) % kExactInDouble);
}

std::string TemporaryFolder() {
  std::error_code error;
  const fs::path folder = fs::temp_directory_path(error);
  if (!error) return folder;
  const char* const named = std::getenv("TMPDIR");
  throw UserError(Sentence("the folder for temporary files, ", named ? named : "/tmp",
                           ", cannot be used (", error.message(),
                           "); expected the variable TMPDIR to name one"));
}

void PrintEvaluation(const Evaluation& evaluation, const TrainedRun& trained,
                     const std::string& text, Progress& progress) {
  if (evaluation.loss.targets == 0) {
    throw UserError(Sentence(text, " holds no token that can be masked and predicted; expected ",
                             "text in the run's vocabulary, more than unknown words"));
  }
  progress.Line(Sentence(trained.checkpoint.path, " on ", text));
  progress.Line(Sentence("loss ", FormatFixed(evaluation.loss.MeanLoss(), 4), ", accuracy ",
                         FormatFixed(100 * evaluation.loss.Accuracy(), 2), " %, perplexity ",
                         FormatFixed(evaluation.Perplexity(), 2), " over ", evaluation.loss.targets,
                         " masked tokens"));
  progress.Line("layer by layer: " + FormatTrees(evaluation.trees));
}

int RunEvaluate(dist::Communicator& communicator) {
  if (!FLAGS_text.empty() && !FLAGS_data.empty()) {
    throw UserError("give either --text or --data, or none of them for the run's held-out text");
  }
  const TrainedRun trained = FindTrainedRun();
  ConfigureThreadsFromFlag(communicator);
  Progress progress(communicator.rank() == 0);
  const config::DatasetConfig& data = trained.config.data();
  DataFiles files = RunDataFiles(data, trained.directory);
  if (!FLAGS_vocabulary.empty()) files.vocabulary = FLAGS_vocabulary;

  // On the disk of each machine, under a name that nobody can foresee.
  const double id = communicator.Max(communicator.rank() == 0 ? RandomName() : 0);
  const std::string temporary = FLAGS_text.empty()
                                    ? ""
                                    : Sentence(TemporaryFolder(), "/treeformer_", std::hex,
                                               static_cast<int64_t>(id), ".tokens");
  const std::string path = EvaluationFile(communicator, trained, files, temporary, progress);
  const datasets::Vocabulary vocabulary = datasets::Vocabulary::Load(files.vocabulary);
  const datasets::TokenFileRecords verified = VerifyTokenFiles(
      communicator, {path}, vocabulary, VerifiedDataFile(trained.directory), /*remembers=*/false);
  progress.Line(Sentence("data: ", UnknownShare(verified[0]), " of the tokens are unknown"));
  const datasets::SequenceConfig sequences = datasets::MakeSequenceConfig(data);
  constexpr int64_t kSequencesOfRank = 8;
  const datasets::BatchLayout layout{kSequencesOfRank * communicator.size(), communicator.rank(),
                                     communicator.size(), /*micro_batches=*/1};
  const datasets::TokenDataset text(path, vocabulary, sequences, verified);
  const datasets::EvaluationLoader held_out(text, layout, trained.config.training().seed());
  communicator.Barrier();
  if (path == temporary && communicator.local_rank() == 0) fs::remove(path);  // it stays mapped

  Context ctx = MakeContext(communicator, DeviceFromFlag(), trained.config.training());
  const auto model = LoadTrainedModel(ctx, trained, vocabulary.size(),
                                      ShapeOf(held_out.Get(/*step=*/0, /*micro=*/0)));
  const Evaluation evaluation = Evaluate(ctx, communicator, *model, held_out);
  PrintEvaluation(evaluation, trained, FLAGS_text.empty() ? path : FLAGS_text, progress);
  return 0;
}

}  // namespace

Command EvaluateCommand() {
  return {"evaluate",
          "held-out loss, accuracy and densities of a trained model",
          "Masks text as in training and measures how well the model fills it in: the run's own "
          "held-out text,\nother text with the run's vocabulary, or a token file.  Alone or under "
          "mpirun.\n\n"
          "  treeformer evaluate --run_dir=runs/quick_start\n"
          "  treeformer evaluate --checkpoint=runs/quick_start/checkpoints/step_400 --text=DIR\n",
          {"run_dir", "checkpoint", "text", "data", "vocabulary", "threads", "device"},
          RunEvaluate};
}

}  // namespace treeformer
