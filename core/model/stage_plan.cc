#include "core/model/stage_plan.h"

#include <algorithm>

#include "core/layers/masked_lm_head.h"
#include "core/model/stage_slot.h"

namespace treeformer {
namespace {

std::optional<double> DensityOf(const LayerList& list, const Layer* layer,
                                const std::vector<double>& density) {
  for (size_t i = 0; i < density.size(); ++i) {
    if (list.encoder.at(i) == layer) return density[i];
  }
  return std::nullopt;
}

}  // namespace

int64_t StagePlan::Parameters() const {
  int64_t sum = 0;
  for (const LayerPlan& layer : layers) sum += layer.parameters;
  return sum;
}

int64_t StagePlan::Activations() const {
  int64_t sum = between;
  for (const LayerPlan& layer : layers) sum += layer.activations;
  return sum;
}

double StagePlan::TrainingFlops() const {
  double sum = 0;
  for (const LayerPlan& layer : layers) sum += layer.cost.Training();
  return sum;
}

StagePlan PlanStage(const ModelConfig& config, const BatchShape& shape, DType dtype,
                    const std::vector<double>& density, std::optional<LayerRange> range) {
  Parameters parameters;
  LayerList list =
      MakeLayers(config, MaskedLm(), range.value_or(LayerRange{0, CountLayers(config)}),
                 /*defer_weight_gradients=*/false, parameters);
  StagePlan plan;
  for (const LayerList::Entry& entry : list.entries) {
    Activations kept(Device::kCpu, dtype);
    entry.layer->Bind({shape, kept});
    const LayerCost cost = entry.layer->Cost(shape, DensityOf(list, entry.layer.get(), density));
    plan.layers.push_back(
        {entry.layer->name(), parameters.CountScalars(entry.parameters), kept.bytes(), cost});
    plan.temporaries = std::max(plan.temporaries, cost.temporaries * SizeOf(dtype));
  }
  StageSlot slot(Device::kCpu, dtype, /*index=*/0, StageSlot::Memory::kKept);
  slot.Bind(list, shape);
  plan.between = slot.between_bytes();
  return plan;
}

}  // namespace treeformer
