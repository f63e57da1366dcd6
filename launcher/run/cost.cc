#include "launcher/run/cost.h"

namespace treeformer {

MemoryCost CountMemory(const ModelConfig& model, const BatchShape& shape, DType dtype) {
  const StagePlan plan = PlanStage(model, shape, dtype);
  MemoryCost memory;
  memory.parameters = static_cast<double>(sizeof(float)) * static_cast<double>(plan.Parameters());
  memory.gradients = memory.parameters;
  memory.moments = 2 * memory.parameters;
  if (dtype == DType::kBFloat16) memory.parameters *= 1.5;
  memory.activations = static_cast<double>(plan.Activations());
  return memory;
}

}  // namespace treeformer
