#pragma once

// `treeformer plan`: what a run will do and what it costs, before anything runs.

#include <iosfwd>
#include <string>

#include "core/training/bootstrap_plan.h"
#include "launcher/run/cost.h"

namespace treeformer {

struct PlanInput {
  const ModelConfig& model;
  const BootstrapPlan& plan;
  int64_t batch_size = 0;  // sequences of the global batch
  BatchShape micro_batch;  // of one rank
  int ranks = 1;
  DType dtype = DType::kFloat32;  // of the activations
  double density = 0;             // expected of the trees; 0: balanced ones
};

// "parameters 418 MiB, gradients ..., together ..."
std::string DescribeMemory(const MemoryCost& memory);

// Stages with steps and attention cost; the last stage's layers; memory of a rank; operations.
void PrintPlan(std::ostream& out, const PlanInput& input);

}  // namespace treeformer
