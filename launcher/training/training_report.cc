#include "launcher/training/training_report.h"

#include <algorithm>
#include <cmath>

#include "core/model/stage_plan.h"
#include "kernels/base/user_error.h"

namespace treeformer {

using Json = nlohmann::ordered_json;

namespace {

std::string FormatShare(double share) {
  if (std::isnan(share)) return "-";
  if (share <= 0) return "0";
  if (share >= 0.995) return "1";
  const int leading_zeros = static_cast<int>(-std::floor(std::log10(share))) - 1;
  return FormatFixed(share, 2 + std::max(0, leading_zeros)).substr(1);
}

}  // namespace

std::string FormatShares(const std::vector<double>& shares) {
  std::string text;
  for (double share : shares) text += (text.empty() ? "" : " ") + FormatShare(share);
  return text;
}

std::string FormatTrees(const TreeShares& trees) {
  const auto is_full = [](double share) { return share == 1; };
  if (std::all_of(trees.density.begin(), trees.density.end(), is_full)) {
    return "density " + FormatShares(trees.density);
  }
  std::string density;
  for (size_t layer = 0; layer < trees.density.size(); ++layer) {
    const double operations = trees.operations[layer];
    const bool tc = std::isnan(trees.density[layer]) && !std::isnan(operations);
    density +=
        tc ? " TC(" + FormatShare(operations) + ")" : " " + FormatShare(trees.density[layer]);
  }
  return "density" + density + "  without keys " + FormatShares(trees.empty_queries);
}

TrainingReport::TrainingReport(dist::Communicator& communicator, Progress& progress,
                               const std::string& directory, int64_t last_step,
                               const BootstrapPlan& plan, const BatchShape& global_batch,
                               const RunSpan& span)
    : communicator_(communicator),
      progress_(progress),
      plan_(plan),
      global_batch_(global_batch),
      span_(span) {
  if (communicator.rank() == 0) writer_ = std::make_unique<MetricsWriter>(directory, last_step);
}

void TrainingReport::Save(nlohmann::json& state) const {
  state["report"] = {{"loss", interval_.loss.Sum("loss")},
                     {"correct", static_cast<int64_t>(interval_.loss.Sum("correct"))},
                     {"targets", interval_.loss.targets},
                     {"without_update", interval_.without_update},
                     {"tokens", tokens_},
                     {"seconds", seconds_},
                     {"full_attention_tokens", full_attention_.tokens},
                     {"full_attention_seconds", full_attention_.seconds}};
}

void TrainingReport::Restore(const nlohmann::json& state, int64_t) {
  const nlohmann::json& report = state.at("report");
  interval_.loss = SumsOfClasses(report.at("loss"), report.at("correct"), report.at("targets"));
  interval_.without_update = report.value("without_update", int64_t{0});
  tokens_ = report.at("tokens");
  seconds_ = report.at("seconds");
  full_attention_ = {report.value("full_attention_tokens", 0.0),
                     report.value("full_attention_seconds", 0.0)};
}

void TrainingReport::AddStep(const StepResult& result, int64_t step, const BootstrapStage& stage) {
  last_ = result;
  interval_.loss += result.loss;
  interval_.tokens += result.tokens;
  tokens_ += result.tokens;
  interval_.seconds += result.seconds;
  interval_.steps += 1;
  interval_.without_update += result.loss.targets == 0 ? 1 : 0;
  seconds_ += result.seconds;
  const std::string eta = seconds_per_step_ > 0 ? "  ETA " + FormatDuration(SecondsLeft(step)) : "";
  progress_.Bar(
      static_cast<double>(span_.before + step) / static_cast<double>(span_.steps),
      Sentence("step ", step, "/", plan_.steps(), eta, "  loss ",
               FormatFixed(result.loss.MeanLoss(), 3), "  stage ", stage.index, "/",
               plan_.stages().size() - 1, "  ", FormatCount(tokens_per_second_), " tokens/s"));
}

double TrainingReport::SecondsLeft(int64_t step) const {
  return seconds_per_step_ * static_cast<double>(span_.steps - span_.before - step);
}

SpeedTotals TrainingReport::AfterFullAttention() const {
  return {tokens_ - full_attention_.tokens, seconds_ - full_attention_.seconds};
}

std::string TrainingReport::DescribeLoss() const {
  if (interval_.loss.targets == 0) return "  no token was masked";
  return Sentence("  loss ", FormatFixed(interval_.loss.MeanLoss(), 3), "  accuracy ",
                  FormatFixed(interval_.loss.Accuracy(), 3));
}

void TrainingReport::PrintLine(int64_t step, const LayerMetrics& layers) const {
  const std::string steps = std::to_string(plan_.steps());
  std::string number = std::to_string(step);
  number.insert(0, steps.size() - std::min(steps.size(), number.size()), ' ');
  progress_.Line(Sentence("  step ", number, "/", steps, DescribeLoss(), "  norm ",
                          FormatFixed(last_.GradientNorm(), 2), "  ", FormatTrees(layers.trees),
                          "  ", FormatCount(tokens_per_second_), " tokens/s  ",
                          FormatCount(flops_per_second_), "FLOP/s  ETA ",
                          FormatDuration(SecondsLeft(step))));
  if (interval_.without_update > 0) {
    progress_.Line(Sentence("  steps without update since the last line: ",
                            interval_.without_update, ", as no token could be masked"));
  }
}

void TrainingReport::MeasureSpeed(const ModelConfig& model, const std::vector<double>& density) {
  BatchShape shape = global_batch_;
  shape.targets = last_.loss.targets;
  const double flops = PlanStage(model, shape, DType::kFloat32, density).TrainingFlops();
  tokens_per_second_ = interval_.tokens / interval_.seconds;
  seconds_per_step_ = interval_.seconds / static_cast<double>(interval_.steps);
  flops_per_second_ = flops / seconds_per_step_;
}

Json TrainingReport::Record(int64_t step, const BootstrapStage& stage) const {
  Json train;
  if (interval_.loss.targets > 0) {
    train = {{"loss", interval_.loss.MeanLoss()}, {"accuracy", interval_.loss.Accuracy()}};
  }
  train["learning_rate"] = last_.learning_rate;
  train["gradient_norm"] = last_.GradientNorm();
  train["steps_without_update"] = interval_.without_update;
  return {{"step", step},
          {"stage", stage.index},
          {"train", train},
          {"speed",
           {{"tokens_per_second", tokens_per_second_},
            {"flops_per_second", flops_per_second_},
            {"eta_seconds", SecondsLeft(step)}}}};
}

void TrainingReport::Log(Context& ctx, const ModelStage& model, int64_t step,
                         const BootstrapStage& stage, bool histograms) {
  const double targets = static_cast<double>(last_.loss.targets);
  const LayerMetrics measured =
      trees_.Take(ctx, communicator_, model, global_batch_.length, targets);
  MeasureSpeed(model.config(), measured.trees.density);
  if (writer_) {
    PrintLine(step, measured);
    if (histograms) {
      for (const auto& [tag, values] : measured.keys_per_leaf) writer_->AddHistogram(tag, values);
    }
    Json record = Record(step, stage);
    record.update(measured.layers);
    writer_->Write(record);
  }
  interval_ = {};
  const bool trees_follow = stage.height == 0 && stage.index + 1 < std::ssize(plan_.stages());
  if (trees_follow && step == stage.last_step) full_attention_ = {tokens_, seconds_};
}

void TrainingReport::LogEvaluation(const Evaluation& evaluation, int64_t step,
                                   const BootstrapStage& stage) {
  if (!writer_) return;
  const std::string at = Sentence("  held out at step ", step, ": ");
  if (evaluation.loss.targets == 0) {
    progress_.Line(at + "no token of it can be masked");
  } else {
    progress_.Line(Sentence(at, "loss ", FormatFixed(evaluation.loss.MeanLoss(), 3), "  accuracy ",
                            FormatFixed(evaluation.loss.Accuracy(), 3), "  perplexity ",
                            FormatFixed(evaluation.Perplexity(), 1), "  ",
                            FormatTrees(evaluation.trees)));
  }
  writer_->Write({{"step", step},
                  {"stage", stage.index},
                  {"held_out",
                   {{"loss", evaluation.loss.MeanLoss()},
                    {"accuracy", evaluation.loss.Accuracy()},
                    {"perplexity", evaluation.Perplexity()},
                    {"density", evaluation.trees.density},
                    {"operations", evaluation.trees.operations},
                    {"empty_queries", evaluation.trees.empty_queries}}}});
}

}  // namespace treeformer
