#include <iostream>

#include "kernels/user_error.h"
#include "launcher/bench.h"
#include "launcher/bench/router_suite.h"
#include "launcher/commands.h"
#include "launcher/flag_values.h"
#include "launcher/flags.h"
#include "launcher/nearest.h"

namespace {

int RunRouter(dist::Communicator& communicator) {
  bench::RouterSuiteOptions options;
  if (!FLAGS_text.empty()) options.text = FLAGS_text;
  options.steps = FLAGS_steps;
  options.task = FLAGS_task;
  options.rows = FLAGS_rows;
  if (communicator.rank() == 0) bench::RunRouterSuite(options, std::cout);
  return 0;
}

std::vector<BenchSuite> BenchSuites() {
  return {{"router", "trains small tasks that need routing, with each estimator of its gradient",
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
              "\n  treeformer bench --suite=router --task=recall --steps=300\n",
          {"suite", "task", "rows", "steps", "text", "threads"},
          RunBench};
}
