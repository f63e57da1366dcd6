#include "core/model/layer_list.h"

#include "core/layers/embeddings.h"

namespace treeformer {
namespace {

// LayerNorm of the target rows, between the last pre-norm layer and the head.
class FinalNorm : public Layer {
 public:
  explicit FinalNorm(const LayerBuilder& builder)
      : width_(builder.config.width), norm_(builder, "bert.encoder.LayerNorm") {}

  std::string name() const override { return "final norm"; }
  LayerCost Cost(const BatchShape&, std::optional<double>) const override { return {}; }
  std::vector<Port> Inputs(const BatchShape& shape) const override { return Outputs(shape); }
  std::vector<Port> Outputs(const BatchShape& shape) const override {
    return {{"hidden", {shape.targets, width_}}};
  }
  void Bind(const LayerMemory& memory) override { norm_.Bind(memory, memory.shape.targets); }
  void Forward(Context& ctx, const Tensors& y, const Tensors& x, const MicroBatch&) override {
    norm_.Forward(ctx, y[0], x[0]);
  }
  void BackwardInput(Context& ctx, const Tensors& dx, const Tensors& dy, const Tensors& x,
                     const MicroBatch&) override {
    norm_.Backward(ctx, dx[0], dy[0], x[0]);
  }

 private:
  const int64_t width_;
  LayerNormLayer norm_;
};

}  // namespace

int64_t CountLayers(const ModelConfig& config) {
  return 1 + config.layers + (config.pre_norm ? 1 : 0) + 1;
}

LayerList MakeLayers(const ModelConfig& config, const Objective& objective, LayerRange range,
                     bool defer_weight_gradients, Parameters& parameters) {
  LayerList list;
  list.encoder.resize(config.layers, nullptr);
  const int64_t count = CountLayers(config), L = config.layers;
  const auto make = [&](const LayerBuilder& builder, int64_t i) -> std::unique_ptr<Layer> {
    if (i == 0) return std::make_unique<Embeddings>(builder);
    if (i <= L) {
      auto layer = std::make_unique<EncoderLayer>(builder, i - 1,
                                                  i == L ? OutputRows::kTargets : OutputRows::kAll);
      list.encoder[i - 1] = layer.get();
      return layer;
    }
    if (i + 1 < count) return std::make_unique<FinalNorm>(builder);
    auto head = objective.make_head(builder);
    list.head = head.get();
    return head;
  };
  CHECK(0 <= range.begin && range.begin < range.end && range.end <= count)
      << "layers [" << range.begin << ", " << range.end << ") of " << count;
  for (int64_t i = range.begin; i < range.end; ++i) {
    LayerList::Entry entry;
    entry.weights = std::make_unique<WeightGradients>(defer_weight_gradients);
    const auto first = static_cast<Parameters::Id>(parameters.list().size());
    entry.layer = make({config, parameters, *entry.weights}, i);
    entry.parameters = parameters.RangeOf(first, parameters.list().size());
    list.entries.push_back(std::move(entry));
  }
  return list;
}

}  // namespace treeformer
