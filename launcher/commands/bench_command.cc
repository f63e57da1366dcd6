#include <charconv>
#include <iostream>
#include <sstream>

#include "kernels/base/user_error.h"
#include "launcher/bench/router/router_suite.h"
#include "launcher/bench/suite.h"
#include "launcher/bench/timing/attention_suite.h"
#include "launcher/bench/timing/operator_suite.h"
#include "launcher/bench/timing/train_suite.h"
#include "launcher/commands/commands.h"
#include "launcher/program/flag_values.h"
#include "launcher/program/flags.h"
#include "launcher/report/nearest.h"

namespace treeformer {

namespace {

int RunRouter(dist::Communicator& communicator) {
  if (DeviceFromFlag() != Device::kCpu) {
    throw UserError("--suite=router runs on the CPU; expected --device=cpu");
  }
  bench::RouterSuiteOptions options;
  if (!FLAGS_text.empty()) options.text = FLAGS_text;
  options.steps = FLAGS_steps;
  options.task = FLAGS_task;
  options.rows = FLAGS_rows;
  if (communicator.rank() == 0) bench::RunRouterSuite(options, std::cout);
  return 0;
}

// Throws UserError for anything but positive numbers by comma.
std::vector<int64_t> LengthsFromFlag(const std::vector<int64_t>& usual) {
  if (FLAGS_lengths.empty()) return usual;
  std::vector<int64_t> lengths;
  std::istringstream list(FLAGS_lengths);
  for (std::string word; std::getline(list, word, ',');) {
    int64_t length = 0;
    const auto [end, error] = std::from_chars(word.data(), word.data() + word.size(), length);
    if (error != std::errc() || end != word.data() + word.size() || length <= 0) {
      throw UserError(Sentence("--lengths: '", word, "' is not a number of tokens"));
    }
    lengths.push_back(length);
  }
  return lengths;
}

int RunOperators(dist::Communicator& communicator) {
  if (!FLAGS_run_dir.empty() || !FLAGS_checkpoint.empty()) {
    throw UserError("--run_dir and --checkpoint: trees of a run are timed with --device=cpu only");
  }
  const std::vector<int64_t> lengths =
      LengthsFromFlag({512, 2048, 4096, 8192, 16384, 32768, 65536, 131072});
  const bench::TimingOptions options{
      .lengths = lengths, .rows = FLAGS_rows, .json = FLAGS_json, .device = Device::kCuda};
  if (communicator.rank() == 0) {
    bench::RunOperatorSuite(options, bench::MakeOperatorProblems(lengths), /*sizes=*/{}, std::cout);
  }
  return 0;
}

int RunAttention(dist::Communicator& communicator) {
  if (DeviceFromFlag() == Device::kCuda) return RunOperators(communicator);
  const bench::TimingOptions options{
      LengthsFromFlag({512, 1024, 2048, 4096, 8192, 16384, 32768, 65536}), FLAGS_rows, FLAGS_json,
      MatmulPrecisionFromFlag(), !FLAGS_run_dir.empty() || !FLAGS_checkpoint.empty()};
  if (communicator.rank() == 0) bench::RunAttentionSuite(options, std::cout);
  return 0;
}

int RunTrainSteps(dist::Communicator& communicator) {
  const bench::TimingOptions options{.lengths = LengthsFromFlag({512, 4096}),
                                     .rows = FLAGS_rows,
                                     .json = FLAGS_json,
                                     .precision = MatmulPrecisionFromFlag(),
                                     .device = DeviceFromFlag()};
  if (communicator.rank() == 0) bench::RunTrainSuite(options, std::cout);
  return 0;
}

std::vector<BenchSuite> BenchSuites() {
  return {{"attention",
           "times one attention module, full and with trees, against its floor; on a GPU the "
           "operators too",
           RunAttention},
          {"train", "times whole training steps of BERT-base, full and with trees", RunTrainSteps},
          {"router", "trains small tasks that need routing, with each estimator of its gradient",
           RunRouter}};
}

std::string ListSuites() {
  std::string list;
  for (const BenchSuite& suite : BenchSuites()) {
    list += "  " + suite.name +
            std::string(suite.name.size() < 10 ? 10 - suite.name.size() : 1, ' ') + suite.purpose +
            "\n";
  }
  return list;
}

int RunBench(dist::Communicator& communicator) {
  ConfigureThreadsFromFlag(communicator);
  std::vector<std::string> names;
  for (const BenchSuite& suite : BenchSuites()) {
    if (suite.name == FLAGS_suite) return suite.run(communicator);
    names.push_back(suite.name);
  }
  throw UserError(Sentence("--suite=", FLAGS_suite, " is not a suite",
                           DidYouMean(FLAGS_suite, names),
                           "; `treeformer bench --help` lists them"));
}

}  // namespace

Command BenchCommand() {
  return {"bench",
          "measures parts of the program on this machine",
          "Runs one suite of measurements and prints its table.  Suites:\n\n" + ListSuites() +
              "\n  treeformer bench --suite=attention --lengths=1024,8192 --threads=1\n"
              "  treeformer bench --suite=attention --run_dir=runs/table4_tf     # also its trees\n"
              "  treeformer bench --suite=attention --device=cuda --lengths=8192,32768\n"
              "  treeformer bench --suite=router --task=recall --steps=300\n",
          {"suite", "task", "rows", "steps", "text", "lengths", "dtype", "json", "run_dir",
           "checkpoint", "threads", "device"},
          RunBench};
}

}  // namespace treeformer
