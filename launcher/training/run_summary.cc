#include "launcher/training/run_summary.h"

#include <algorithm>
#include <cmath>
#include <numeric>

#include "kernels/base/user_error.h"
#include "launcher/report/progress.h"

namespace treeformer {

namespace {

constexpr size_t kNameWidth = 28, kNumberWidth = 10;

std::string Right(const std::string& text) {
  return std::string(kNumberWidth - std::min(kNumberWidth, text.size()), ' ') + text;
}

std::string Row(const std::string& name, const std::string& loss, const std::string& accuracy) {
  return "  " + name + std::string(kNameWidth - std::min(kNameWidth, name.size()), ' ') +
         Right(loss) + Right(accuracy);
}

std::string Row(const std::string& name, const MetricSums& sum) {
  return Row(name, FormatFixed(sum.MeanLoss(), 3), FormatFixed(100 * sum.Accuracy(), 1) + " %");
}

std::string Percent(double share) { return FormatFixed(100 * share, share < 0.1 ? 1 : 0) + " %"; }

double Mean(const std::vector<double>& of_layers) {
  return std::accumulate(of_layers.begin(), of_layers.end(), 0.0) /
         static_cast<double>(of_layers.size());
}

// All layers have the same pairs and queries.  TC layers have no pairs (NaN).
std::string DescribeAttention(const TreeShares& trees) {
  const double density = Mean(trees.density);
  return (std::isnan(density) ? "make " + Percent(Mean(trees.operations)) + " of the operations"
                              : "compute " + Percent(density) + " of the pairs") +
         ", leave " + Percent(Mean(trees.empty_queries)) + " of the queries without a key";
}

}  // namespace

std::vector<std::string> LossTable(const Baselines& baselines, const std::vector<RunOutcome>& runs,
                                   std::optional<double> floor) {
  std::vector<const RunOutcome*> sorted;
  for (const RunOutcome& run : runs) sorted.push_back(&run);
  std::stable_sort(sorted.begin(), sorted.end(), [](const RunOutcome* a, const RunOutcome* b) {
    return a->held_out.loss.MeanLoss() > b->held_out.loss.MeanLoss();
  });
  std::vector<std::string> lines{
      Row(Sentence("held out, ", baselines.neighbours.targets, " masked"), "loss", "accuracy")};
  lines.push_back(Row("uniform guess", baselines.uniform));
  lines.push_back(Row("word frequencies", baselines.word_frequencies));
  lines.push_back(Row("left and right neighbour", baselines.neighbours));
  for (const RunOutcome* run : sorted) lines.push_back(Row(run->what, run->held_out.loss));
  if (floor) lines.push_back(Row("floor of these stories", FormatFixed(*floor, 3), "-"));
  return lines;
}

std::string Verdict(const std::vector<RunOutcome>& runs) {
  const RunOutcome &trees = runs.at(0), &full = runs.at(1), &frozen = runs.at(2);
  const double loss = trees.held_out.loss.MeanLoss(), of_full = full.held_out.loss.MeanLoss();
  const double speed = trees.after_full_attention.TokensPerSecond();
  const double speed_of_full = full.after_full_attention.TokensPerSecond();
  return Sentence("verdict: trees ", FormatFixed(loss, 3), " against full attention ",
                  FormatFixed(of_full, 3), " (", FormatFixed(100 * std::abs(loss / of_full - 1), 1),
                  loss < of_full ? " % lower" : " % higher", ") and frozen trees ",
                  FormatFixed(frozen.held_out.loss.MeanLoss(), 3), "; they ",
                  DescribeAttention(trees.held_out.trees), ", at ",
                  FormatFixed(speed / speed_of_full, 2), " x the speed of full attention (",
                  FormatCount(speed), " against ", FormatCount(speed_of_full), " tokens/s)");
}

}  // namespace treeformer
