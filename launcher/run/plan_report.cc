#include "launcher/run/plan_report.h"

#include <algorithm>
#include <iomanip>
#include <ostream>

#include "core/attention/registry.h"
#include "kernels/base/user_error.h"
#include "launcher/report/progress.h"
#include "launcher/run/cost.h"
#include "launcher/run/memory_check.h"

namespace treeformer {

namespace {

// The densities that are expected; `of_trees` 0: those of balanced trees.
std::vector<double> ExpectedDensities(const ModelConfig& model, double n, double of_trees) {
  std::vector<double> density;
  for (int64_t layer = 0; layer < model.layers; ++layer) {
    const auto expected = of_trees > 0 ? std::optional<double>(of_trees) : std::nullopt;
    density.push_back(CostOfAttention(model, layer, n, expected).density);
  }
  return density;
}

// One sequence through the layers of the encoder, [layers].
std::vector<LayerCost> CostOfLayers(const ModelConfig& model, const BatchShape& micro_batch,
                                    double of_trees) {
  const BatchShape one{1, micro_batch.length, micro_batch.targets / micro_batch.sequences};
  const StagePlan plan =
      PlanStage(model, one, DType::kFloat32,
                ExpectedDensities(model, static_cast<double>(one.length), of_trees));
  std::vector<LayerCost> costs;
  for (int64_t i = 0; i < model.layers; ++i) costs.push_back(plan.layers.at(1 + i).cost);
  return costs;
}

// Forward pass of one sequence through attention, without and with its projections.
struct ForwardCost {
  double alone = 0, projected = 0;
};

ForwardCost ForwardOf(const LayerCost& cost) {
  return {cost.attention, cost.attention + cost.projections};
}

ForwardCost ForwardOf(const std::vector<LayerCost>& costs) {
  ForwardCost sum;
  for (const LayerCost& cost : costs) {
    sum = {sum.alone + ForwardOf(cost).alone, sum.projected + ForwardOf(cost).projected};
  }
  return sum;
}

ModelConfig WithFullAttention(ModelConfig model) {
  model.attention.assign(model.layers, AttentionConfig());
  return model;
}

std::string DescribeTrees(const PlanInput& input) {
  if (input.density == 0) return "balanced trees";
  return Sentence("trees of density ", input.density);
}

// Two digits at least: "25.4 %", "4.57 %", "0.061 %".
std::string Percent(double share) {
  const double percent = 100 * share;
  return FormatFixed(percent, percent >= 10 ? 1 : (percent >= 0.995 ? 2 : 3)) + " %";
}

void PrintStages(std::ostream& out, const PlanInput& input) {
  const ForwardCost full =
      ForwardOf(CostOfLayers(WithFullAttention(input.model), input.micro_batch, /*of_trees=*/0));
  out << "stages (attention: " << DescribeTrees(input)
      << " against full attention, forward pass; alone, and with the projections)\n";
  for (const BootstrapStage& stage : input.plan.stages()) {
    const ModelConfig model = input.plan.ModelOfStage(stage);
    const ForwardCost cost = ForwardOf(CostOfLayers(model, input.micro_batch, input.density));
    const int64_t parameters = PlanStage(model, input.micro_batch, DType::kFloat32).Parameters();
    out << "  " << std::left << std::setw(76) << Describe(stage) << " parameters " << std::right
        << std::setw(6) << FormatCount(static_cast<double>(parameters)) << "  attention "
        << std::setw(8) << Percent(cost.alone / full.alone) << "  " << std::setw(7)
        << Percent(cost.projected / full.projected) << "\n";
  }
}

void PrintLayers(std::ostream& out, const PlanInput& input, const ModelConfig& last) {
  const std::vector<LayerCost> full =
      CostOfLayers(WithFullAttention(last), input.micro_batch, /*of_trees=*/0);
  const std::vector<LayerCost> trees = CostOfLayers(last, input.micro_batch, input.density);
  size_t kind_width = 4;
  for (const AttentionConfig& attention : last.attention) {
    kind_width = std::max(kind_width, std::string(attention.kind->label).size());
  }
  out << "\nattention of the last stage, forward pass of one sequence; the last two columns with "
         "the projections\n"
      << "  layer  " << std::right << std::setw(static_cast<int>(kind_width)) << "kind"
      << "  height  leaves   full FLOP     trees    share     trees    share\n";
  for (int64_t layer = 0; layer < last.layers; ++layer) {
    const AttentionConfig& attention = last.attention[layer];
    const ForwardCost before = ForwardOf(full[layer]), after = ForwardOf(trees[layer]);
    out << "  " << std::right << std::setw(5) << layer + 1 << "  "
        << std::setw(static_cast<int>(kind_width)) << attention.kind->label << "  " << std::setw(6)
        << attention.shape.height() << "  " << std::setw(6) << attention.shape.leaves() << "  "
        << std::setw(10) << FormatCount(before.alone) << "  " << std::setw(8)
        << FormatCount(after.alone) << "  " << std::setw(7) << Percent(after.alone / before.alone)
        << "  " << std::setw(8) << FormatCount(after.projected) << "  " << std::setw(7)
        << Percent(after.projected / before.projected) << "\n";
  }
}

void PrintMemory(std::ostream& out, const PlanInput& input, const ModelConfig& last) {
  const MemoryCost memory = CountMemory(last, input.micro_batch, input.dtype);
  const StageMemory largest = LargestStage(input.plan, input.micro_batch, input.dtype);
  out << "\nmemory of one rank (" << input.micro_batch.sequences << " sequences at a time, "
      << (input.dtype == DType::kBFloat16 ? "activations in bfloat16" : "float32") << ")\n  "
      << DescribeMemory(memory) << "\n  temporaries of its layers "
      << FormatBytes(
             static_cast<double>(PlanStage(last, input.micro_batch, input.dtype).temporaries))
      << " more, besides those of single operations\n  the most: "
      << FormatBytes(largest.cost.Total()) << " in stage " << largest.index
      << "; a boundary between stages needs no more\n";
  const double need = largest.cost.Total() * input.ranks, limit = ReadHostMemory().limit;
  if (input.dtype == DType::kFloat32 && need > limit) {
    out << "  more than this machine has for all ranks, " << FormatBytes(limit)
        << ": `treeformer train` would refuse it here\n";
  }
}

}  // namespace

std::string DescribeMemory(const MemoryCost& memory) {
  return "parameters " + FormatBytes(memory.parameters) + ", gradients " +
         FormatBytes(memory.gradients) + ", moments " + FormatBytes(memory.moments) +
         ", activations " + FormatBytes(memory.activations) + "; together " +
         FormatBytes(memory.Total());
}

void PrintPlan(std::ostream& out, const PlanInput& input) {
  const ModelConfig& model = input.model;
  const ModelConfig last = input.plan.ModelOfStage(input.plan.stages().back());
  const double n = static_cast<double>(input.micro_batch.length);
  out << "model: " << model.layers << " layers, width " << model.width << ", " << model.heads
      << " heads, vocabulary " << model.vocabulary << ", sequences of " << input.micro_batch.length
      << " tokens\nrun: " << input.plan.steps() << " steps of " << input.batch_size
      << " sequences, " << input.ranks << (input.ranks == 1 ? " rank\n\n" : " ranks\n\n");
  PrintStages(out, input);
  PrintLayers(out, input, last);
  PrintMemory(out, input, last);

  const double sequences = static_cast<double>(input.micro_batch.sequences);
  double total = 0;
  for (const BootstrapStage& stage : input.plan.stages()) {
    const ModelConfig staged = input.plan.ModelOfStage(stage);
    total += static_cast<double>(stage.last_step - stage.first_step) *
             static_cast<double>(input.batch_size) / sequences *
             PlanStage(staged, input.micro_batch, input.dtype,
                       ExpectedDensities(staged, n, input.density))
                 .TrainingFlops();
  }
  out << "\noperations of the whole run, " << DescribeTrees(input) << ": " << FormatCount(total)
      << "FLOP\n";
}

}  // namespace treeformer
