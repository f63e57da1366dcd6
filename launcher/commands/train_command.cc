#include "kernels/base/user_error.h"
#include "launcher/commands/commands.h"
#include "launcher/program/flag_values.h"
#include "launcher/program/flags.h"
#include "launcher/run/run_directory.h"
#include "launcher/run/run_plan.h"
#include "launcher/run/verified_data.h"
#include "launcher/training/train_run.h"

namespace treeformer {

namespace {

int RunTrain(dist::Communicator& communicator) {
  const config::RunConfig config = ResolveRunConfig();
  const DeviceChoice device = DeviceChoiceFromFlags();
  const int threads = ConfigureThreadsFromFlag(communicator);
  const std::string directory = RunDirectoryFromFlag();
  ValidateRun(config, communicator.size(), device.device, directory);
  const BootstrapPlan plan = MakeBootstrapPlan(config, PlannedVocabulary(config.data(), directory));
  RunPart part{FLAGS_resume, ParseStages(FLAGS_stages, plan), {}};
  if (!HasCheckpoints(directory + "/checkpoints")) ValidateStartFrom(config);
  if (communicator.rank() == 0) {
    part.text = ListRunText(config.data());
    RequireRunApartFromText(directory, config.data(), part.text);
  }
  LogTo(directory, communicator.rank());
  if (FLAGS_verify_data && communicator.rank() == 0) {
    std::filesystem::remove(VerifiedDataFile(directory));  // what is not known is read whole
  }
  Progress progress(communicator.rank() == 0);
  progress.Line(Sentence("treeformer train: ", FLAGS_config, " in ", directory, ", ",
                         communicator.size(), communicator.size() == 1 ? " rank" : " ranks", " of ",
                         threads, threads == 1 ? " thread" : " threads"));
  return RunTraining(communicator, config, directory, part, device, progress);
}

}  // namespace

Command TrainCommand() {
  return {
      "train",
      "pretrains a masked language model, with full attention and then with trees",
      "Runs an experiment from its text to the last stage of its plan and evaluates it on "
      "held-out text.\nAlone or under mpirun or srun.  The same numbers of ranks and "
      "micro-batches give the same\nbits.  Another number of ranks trains on the same batches, "
      "masks and dropout, and differs by the order\nof sums: a rounding at first, which hard "
      "decisions of trees enlarge to some 0.001 of the loss.\nA run directory with checkpoints "
      "goes on from the newest one.  SIGTERM, SIGUSR1, SIGUSR2, SIGINT\n(Ctrl-C; the second one "
      "ends it at once) or SIGHUP make it write a checkpoint and stop with status 75;\nwhile "
      "data is still prepared, they end it.\n--stages=0:2 ends with a checkpoint behind the first "
      "two stages of the plan; a later command goes\non from there, with the same bits as a run in "
      "one.\nToken files are read whole once, to verify them "
      "(RUN_DIR/data/verified.txt), and not again while\ntheir size and time stay; "
      "--verify_data reads them again.\n\n"
      "  mpirun -n 2 treeformer train                          the quick start, built-in text\n"
      "  mpirun -n 2 treeformer train --text=DIR               the same on your own text\n"
      "  treeformer train --config=my.textproto --set=model.layers=6 "
      "--set=training.batch_size=64\n"
      "  mpirun -n 8 treeformer train --config=bert_base_tf --device=cuda     a GPU for each "
      "rank\n",
      {"config", "set", "text", "run_dir", "resume", "threads", "device", "cuda_graphs", "stages",
       "verify_data"},
      RunTrain};
}

}  // namespace treeformer
