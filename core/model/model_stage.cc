#include "core/model/model_stage.h"

namespace treeformer {
namespace {

bool Fits(const BatchShape& shape, const BatchShape& largest) {
  return shape.sequences <= largest.sequences && shape.length <= largest.length &&
         shape.targets <= largest.targets;
}

StageSlot::Memory MemoryOf(const StageOptions& options) {
  if (options.inference) return StageSlot::Memory::kInference;
  return options.recompute ? StageSlot::Memory::kOverlaid : StageSlot::Memory::kKept;
}

}  // namespace

BatchShape ShapeOf(const datasets::Batch& batch) {
  return {batch.sequences, batch.length, std::ssize(batch.target_token)};
}

ModelStage::ModelStage(Context& ctx, const ModelConfig& config, const BatchShape& largest,
                       DType dtype, const StageOptions& options)
    : config_(config), largest_(largest), options_(options) {
  CHECK_EQ(static_cast<int64_t>(config.attention.size()), config.layers);
  CHECK_GE(config.layers, 1);
  CHECK_EQ(config.width % config.heads, 0);
  CHECK_LE(largest.length, config.max_positions);
  CHECK(!(options.recompute && options.defer_weight_gradients))
      << "activations that are made again cannot wait for the gradients of weights";
  layers_ = MakeLayers(config_, options.objective,
                       options.layers.value_or(LayerRange{0, CountLayers(config)}),
                       options.defer_weight_gradients, parameters_);
  for (int i = 0; i < options.slots; ++i) {
    slots_.push_back(std::make_unique<StageSlot>(ctx.device(), dtype, i, MemoryOf(options)));
    slots_[i]->Bind(layers_, largest_);
    slots_[i]->Allocate();
    slots_[i]->Bind(layers_, largest_);
    bound_ = i;
  }
  if (options.own_parameters) parameters_.Allocate(ctx, dtype);
}

ModelStage::~ModelStage() = default;

StageSlot& ModelStage::Use(int slot) {
  StageSlot& used = *slots_.at(slot);
  if (bound_ != slot) used.Bind(layers_, used.shape());
  bound_ = slot;
  return used;
}

void ModelStage::Load(Context& ctx, const datasets::Batch& batch, const StepInfo& step, int slot) {
  const BatchShape shape = ShapeOf(batch);
  CHECK(Fits(shape, largest_)) << "a micro-batch of " << shape.sequences << " x " << shape.length
                               << " tokens and " << shape.targets << " targets";
  StageSlot& used = *slots_.at(slot);
  if (bound_ != slot || used.shape() != shape) used.Bind(layers_, shape);
  bound_ = slot;
  used.Load(ctx, batch, step);
}

void ModelStage::Forward(Context& ctx, const datasets::Batch& batch, const StepInfo& step,
                         int slot) {
  Load(ctx, batch, step, slot);
  Forward(ctx, slot);
}

void ModelStage::Forward(Context& ctx, int slot) {
  StageSlot& used = Use(slot);
  CHECK(!(options_.inference && used.batch().step.training)) << "a stage made for inference";
  for (size_t i = 0; i < layers_.entries.size(); ++i) {
    layers_.entries[i].layer->Forward(ctx, used.input(i + 1), used.input(i), used.batch());
  }
}

void ModelStage::BackwardLayer(Context& ctx, StageSlot& slot, size_t i) {
  Layer& layer = *layers_.entries[i].layer;
  const bool last_of_forward = i + 1 == layers_.entries.size();
  if (options_.recompute && !last_of_forward) {
    MicroBatch again = slot.batch();
    again.again = true;
    layer.Forward(ctx, slot.input(i + 1), slot.input(i), again);
  }
  layer.BackwardInput(ctx, slot.input_gradient(i), slot.input_gradient(i + 1), slot.input(i),
                      slot.batch());
}

void ModelStage::Backward(Context& ctx, const GradientHook& on_gradient, int slot) {
  StageSlot& used = Use(slot);
  CHECK(used.batch().step.training) << "Backward after a Forward for evaluation";
  for (size_t i = layers_.entries.size(); i-- > 0;) {
    BackwardLayer(ctx, used, i);
    FinishWeights(ctx, on_gradient, i);
  }
}

void ModelStage::BackwardInput(Context& ctx, int slot) {
  CHECK(options_.defer_weight_gradients) << "the gradients of weights are not deferred";
  StageSlot& used = Use(slot);
  CHECK(used.batch().step.training) << "Backward after a Forward for evaluation";
  for (size_t i = layers_.entries.size(); i-- > 0;) BackwardLayer(ctx, used, i);
}

void ModelStage::BackwardWeights(Context& ctx, const GradientHook& on_gradient, int slot) {
  Use(slot);
  for (size_t i = layers_.entries.size(); i-- > 0;) FinishWeights(ctx, on_gradient, i);
}

void ModelStage::FinishWeights(Context& ctx, const GradientHook& on_gradient, size_t i) {
  layers_.entries[i].weights->Finish(ctx);
  if (on_gradient) on_gradient(layers_.entries[i].parameters);
}

const Tensors& ModelStage::outputs(int slot) const {
  return slots_.at(slot)->input(layers_.entries.size());
}

const Tensors& ModelStage::output_gradients(int slot) const {
  return slots_.at(slot)->input_gradient(layers_.entries.size());
}

std::vector<Port> ModelStage::InputPorts() const {
  return layers_.entries.front().layer->Inputs(largest_);
}

std::vector<Port> ModelStage::OutputPorts() const {
  return layers_.entries.back().layer->Outputs(largest_);
}

const Head& ModelStage::head() const {
  CHECK(layers_.head != nullptr) << "this stage ends before the head";
  return *layers_.head;
}

MetricSums ModelStage::ReadSums(Context& ctx) const {
  MetricSums result;
  result.names = head().SumNames();
  const auto count = static_cast<int64_t>(result.names.size());
  Scratch::Scope scope(ctx.scratch());
  const View<double> sums = scope.Take<double>({count});
  Zero(ctx, sums);
  AddSums(ctx, sums);
  result.sums.resize(count);
  Copy(ctx, View<double>(result.sums.data(), {count}), sums);
  ctx.Synchronize();
  for (int64_t targets : slots_.at(bound_)->batch().targets_of) result.targets += targets;
  return result;
}

In ModelStage::LayerInput(int64_t layer) const {
  CHECK(layers_.encoder.at(layer) != nullptr && !options_.inference) << "layer " << layer;
  for (size_t i = 0; i < layers_.entries.size(); ++i) {
    if (layers_.entries[i].layer.get() == layers_.encoder[layer]) {
      return slots_.at(bound_)->input(i)[0];
    }
  }
  LOG(FATAL) << "layer " << layer << " is not in the list";
}

TreeStatistics ModelStage::ReadStatistics(Context& ctx, int64_t layer) const {
  CHECK(layers_.encoder.at(layer) != nullptr && MemoryOf(options_) == StageSlot::Memory::kKept)
      << "layer " << layer << " keeps nothing";
  return layers_.encoder[layer]->attention().ReadStatistics(ctx, slots_.at(bound_)->batch());
}

// f(tree, step of its nudge) for the trees under Balance::kBias.
template <typename F>
void ModelStage::ForEachBalancedTree(const F& f) const {
  for (int64_t layer = 0; layer < config_.layers; ++layer) {
    const TreeConfig& tree_config = config_.attention[layer].tree;
    if (layers_.encoder[layer] == nullptr || tree_config.balance != Balance::kBias) continue;
    for (Tree* tree : layers_.encoder[layer]->attention().trees()) {
      f(*tree, tree_config.balance_weight);
    }
  }
}

void ModelStage::NudgeBalance(Context& ctx) {
  ForEachBalancedTree([&](Tree& tree, float step) { tree.NudgeBalance(ctx, step); });
}

void ModelStage::ForgetBalanceCounts(Context& ctx) {
  ForEachBalancedTree([&](Tree& tree, float) { tree.ForgetCounts(ctx); });
}

std::vector<Out> ModelStage::ReadBalanceCounts(Context& ctx) {
  std::vector<Out> counts;
  ForEachBalancedTree([&](Tree& tree, float) { counts.push_back(tree.ReadCounts(ctx)); });
  return counts;
}

int64_t ModelStage::ActivationBytes() const {
  int64_t bytes = 0;
  for (const auto& slot : slots_) bytes += slot->bytes();
  return bytes;
}

}  // namespace treeformer
