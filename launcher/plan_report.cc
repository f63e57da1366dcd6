#include "launcher/plan_report.h"

#include <iomanip>
#include <ostream>

#include "launcher/cost.h"
#include "launcher/progress.h"

namespace {

std::vector<double> IdealDensities(const ModelConfig& model) {
  std::vector<double> density;
  for (const AttentionConfig& attention : model.attention) {
    density.push_back(IdealDensity(attention));
  }
  return density;
}

// Forward attention of one sequence over all layers, with trees that are balanced.
double IdealAttention(const ModelConfig& model, double n) {
  double flops = 0;
  for (int64_t layer = 0; layer < model.layers; ++layer) {
    flops += AttentionFlops(model, layer, n, IdealDensity(model.attention[layer]));
  }
  return flops;
}

const char* KindName(AttentionKind kind) {
  switch (kind) {
    case AttentionKind::kFull:
      return "full";
    case AttentionKind::kTf:
      return "TF";
    case AttentionKind::kTc:
      return "TC";
  }
  return "";
}

std::string Percent(double share) { return FormatFixed(100 * share, 1) + " %"; }

void PrintStages(std::ostream& out, const PlanInput& input, double full) {
  const double n = static_cast<double>(input.micro_batch.length);
  out << "stages (attention: balanced trees against full attention, forward pass)\n";
  for (const Stage& stage : input.plan.stages()) {
    const ModelConfig model = input.plan.ModelOfStage(stage);
    out << "  " << std::left << std::setw(76) << Describe(stage) << " parameters " << std::right
        << std::setw(6) << FormatCount(static_cast<double>(CountParameters(model)))
        << "  attention " << std::setw(8) << Percent(IdealAttention(model, n) / full) << "\n";
  }
}

void PrintLayers(std::ostream& out, const ModelConfig& last, const ModelConfig& full, double n) {
  out << "\nattention of the last stage, forward pass of one sequence\n"
      << "  layer  kind  height  leaves   full FLOP  balanced   share\n";
  for (int64_t layer = 0; layer < last.layers; ++layer) {
    const AttentionConfig& attention = last.attention[layer];
    const bool tree = attention.kind != AttentionKind::kFull;
    const double before = AttentionFlops(full, layer, n, 1);
    const double after = AttentionFlops(last, layer, n, IdealDensity(attention));
    out << "  " << std::right << std::setw(5) << layer + 1 << "  " << std::setw(4)
        << KindName(attention.kind) << "  " << std::setw(6) << (tree ? attention.shape.height() : 0)
        << "  " << std::setw(6) << (tree ? attention.shape.leaves() : 1) << "  " << std::setw(10)
        << FormatCount(before) << "  " << std::setw(8) << FormatCount(after) << "  " << std::setw(7)
        << Percent(after / before) << "\n";
  }
}

void PrintMemory(std::ostream& out, const PlanInput& input, const ModelConfig& last) {
  const MemoryCost full = CountMemory(input.model, input.micro_batch);
  const MemoryCost memory = CountMemory(last, input.micro_batch);
  out << "\nmemory of one rank (" << input.micro_batch.sequences << " sequences at a time)\n"
      << "  " << DescribeMemory(memory) << "\n  at a stage's boundary the models before and after: "
      << FormatBytes(full.Total() + memory.Total()) << "\n";
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
  const double full = IdealAttention(model, n);
  out << "model: " << model.layers << " layers, width " << model.width << ", " << model.heads
      << " heads, vocabulary " << model.vocabulary << ", sequences of " << input.micro_batch.length
      << " tokens\nrun: " << input.plan.steps() << " steps of " << input.batch_size
      << " sequences, " << input.ranks << (input.ranks == 1 ? " rank\n\n" : " ranks\n\n");
  PrintStages(out, input, full);
  PrintLayers(out, last, model, n);
  PrintMemory(out, input, last);

  const double targets = static_cast<double>(input.micro_batch.targets) /
                         static_cast<double>(input.micro_batch.sequences);
  double total = 0;
  for (const Stage& stage : input.plan.stages()) {
    const ModelConfig staged = input.plan.ModelOfStage(stage);
    total += static_cast<double>((stage.last_step - stage.first_step) * input.batch_size) *
             TrainingFlops(staged, n, targets, IdealDensities(staged));
  }
  out << "\noperations of the whole run, balanced trees: " << FormatCount(total) << "FLOP\n";
}
