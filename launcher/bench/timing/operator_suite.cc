#include "launcher/bench/timing/operator_suite.h"

#include <functional>
#include <map>
#include <optional>
#include <tuple>

#include "core/attention/registry.h"
#include "kernels/base/user_error.h"
#include "launcher/bench/timing/machine_rates.h"
#include "launcher/bench/timing/operator_table.h"
#include "launcher/bench/timing/tree_parts.h"

namespace treeformer::bench {
namespace {

// The thresholds of each tree and width, made once.
class Thresholds {
 public:
  Thresholds(const TimingOptions& options, int64_t sample) : options_(options), sample_(sample) {}

  const std::vector<float>& Of(const OperatorRow& row, const ModuleSize& size) {
    const auto key = std::make_tuple(row.name, size.heads, size.head_width);
    const auto found = made_.find(key);
    if (found != made_.end()) return found->second;
    ModuleSize sample = size;
    sample.sequences = 1;
    sample.length = sample_;
    return made_[key] = BalancedBiases(MakeContext(options_), row.attention, sample, row.density);
  }

 private:
  const TimingOptions& options_;
  const int64_t sample_;
  std::map<std::tuple<std::string, int64_t, int64_t>, std::vector<float>> made_;
};

// Density and useful share, before anything is timed; parts is null without a tree.
MeasuredRow CountRow(AttentionModule& module, const ModuleSize& size, TreeParts* parts) {
  MeasuredRow row;
  if (parts == nullptr) return row;
  parts->Route();
  const TilePairs pairs = parts->CountPairs();
  const double all = static_cast<double>(size.rows() * size.length * size.heads);
  row.density = static_cast<double>(pairs.useful) / all;
  if (module.config().attention.at(0).kind->has_pairs) {
    row.useful_share = static_cast<double>(pairs.useful) / static_cast<double>(pairs.computed);
  }
  return row;
}

MeasuredRow Measure(AttentionModule& module, const ModuleSize& size, double group_seconds) {
  module.ForwardWithoutProjections(/*training=*/true);  // makes queries and keys
  std::optional<TreeParts> parts;
  if (!module.trees().empty()) parts.emplace(module);
  MeasuredRow row = CountRow(module, size, parts ? &*parts : nullptr);
  const OperatorWork work =
      WorkOf(size, module.config().attention.at(0), row.density, SizeOf(module.queries().dtype()));
  const auto time = [&](const char* pass, const Work& pass_work, const auto& run) {
    const double seconds = MedianSecondsOnStream(module.context(), run, group_seconds);
    row.passes.push_back({pass, seconds, pass_work, module.HeldBytes()});
  };
  if (parts) {
    time("route", work.route, [&] { parts->Route(); });
    time("sort", {}, [&] { parts->Sort(); });
    parts.reset();
  }
  time("forward", work.forward, [&] { module.ForwardWithoutProjections(/*training=*/false); });
  module.ForwardWithoutProjections(/*training=*/true);
  time("backward", work.backward, [&] { module.BackwardWithoutProjections(); });
  time("forward+backward", work.forward + work.backward, [&] {
    module.ForwardWithoutProjections(/*training=*/true);
    module.BackwardWithoutProjections();
  });
  time("layer forward", work.layer_forward, [&] { module.Forward(/*training=*/false); });
  time("layer forward+backward", work.layer_forward + work.layer_backward, [&] {
    module.Forward(/*training=*/true);
    module.Backward();
  });
  return row;
}

// Those whose name has options.rows in it; UserError when none has.
std::vector<OperatorProblem> Selected(std::vector<OperatorProblem> problems,
                                      const TimingOptions& options) {
  size_t count = 0;
  for (OperatorProblem& problem : problems) {
    std::erase_if(problem.rows, [&](const OperatorRow& row) {
      return row.name.find(options.rows) == std::string::npos;
    });
    count += problem.rows.size();
  }
  if (count == 0) throw UserError(Sentence("--rows=", options.rows, ": no row has this in it"));
  return problems;
}

}  // namespace

void RunOperatorSuite(const TimingOptions& options, const std::vector<OperatorProblem>& problems,
                      const OperatorSuiteSizes& sizes, std::ostream& out) {
  const std::vector<OperatorProblem> selected = Selected(problems, options);
  OperatorTable table(options, out);
  {
    Context ctx = MakeContext(options);
    table.AddRates(MeasureMachineRates(ctx, sizes.copy_bytes, sizes.matmul), sizes.matmul);
  }
  Thresholds thresholds(options, sizes.sample);
  for (const OperatorProblem& problem : selected) {
    for (const OperatorRow& row : problem.rows) {
      try {
        const std::vector<float>* biases = nullptr;
        if (row.spread) biases = &thresholds.Of(row, problem.size);
        AttentionModule module(MakeContext(options), row.attention, problem.size);
        if (biases != nullptr) module.SetTreeBiases(*biases);
        table.Add(problem.size, row.name, Measure(module, problem.size, sizes.group_seconds));
      } catch (const UserError& error) {
        table.LeaveOut(problem.size, row.name, error.what());
      }
    }
  }
}

}  // namespace treeformer::bench
