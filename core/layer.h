#pragma once

// Layer: what a model is a list of.
//
//   made     declares its parameters (core/parameters.h), once
//   Bind     takes its activations from a slot (core/activations.h), for a shape; host work only
//   Forward          y  = f(x; w), and keeps in the slot what the gradients will need
//   BackwardInput    dx = (df/dx)^T dy
//   BackwardWeights  dw += (df/dw)^T dy, over micro-batches
// There is no tape: the model (core/model/model_stage.h) calls Forward in order and the others in
// the reverse order, once each per micro-batch; the x of a Forward stays as it is until then.
// Temporaries come from ctx.scratch(), so layers share them.
//
// A slot holds one micro-batch in flight.  Bind moves a layer from one to another: whatever a layer
// keeps lies in views that Bind makes, in the same order each time.

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "core/activations.h"
#include "core/micro_batch.h"
#include "core/model_config.h"
#include "core/parameters.h"
#include "core/weight_gradients.h"

namespace treeformer {

// What a layer is made from.  All outlive it.
struct LayerBuilder {
  const ModelConfig& config;
  Parameters& parameters;
  WeightGradients& weights;
  int64_t layer = kNoLayer;  // of the encoder, whose parameters are declared

  LayerBuilder OfLayer(int64_t index) const { return {config, parameters, weights, index}; }
};

struct LayerMemory {
  const BatchShape& shape;
  Activations& activations;

  int64_t rows() const { return shape.sequences * shape.length; }  // B n
};

// Names of the parameters of an encoder layer begin with this and a dot.
inline std::string EncoderLayerName(int64_t layer) {
  return "bert.encoder.layer." + std::to_string(layer);
}

struct Port {  // a tensor that one layer gives to the next
  std::string name;
  Shape shape;

  friend bool operator==(const Port&, const Port&) = default;
};

// The tensors of a list of ports, in its order.
class Tensors {
 public:
  Tensors() = default;
  Tensors(std::vector<Out> list) : list_(std::move(list)) {}
  template <typename T>
  requires std::convertible_to<T, Out> Tensors(const T& one) : list_{one} {}

  Out operator[](size_t i) const { return list_.at(i); }
  size_t size() const { return list_.size(); }
  auto begin() const { return list_.begin(); }
  auto end() const { return list_.end(); }

 private:
  std::vector<Out> list_;
};

// What a layer does for a micro-batch, in floating-point operations; a multiply-add is 2.
struct LayerCost {
  double products = 0;            // with matrices of weights, forward pass
  double projections = 0;         // those of them that are W^Q, W^K, W^V, W^O
  double attention = 0;           // between the projections, forward pass
  double attention_training = 0;  // the same, forward and backward
  int64_t temporaries = 0;  // elements of activations that its backward pass takes from scratch

  double Forward() const { return products + attention; }
  double Training() const { return 3 * products + attention_training; }
};

class Layer {
 public:
  virtual ~Layer() = default;

  virtual std::string name() const = 0;  // in reports
  // density: of its attention, as measured; absent: that of balanced trees.
  virtual LayerCost Cost(const BatchShape& shape, std::optional<double> density) const = 0;

  virtual std::vector<Port> Inputs(const BatchShape& shape) const = 0;
  virtual std::vector<Port> Outputs(const BatchShape& shape) const = 0;
  virtual void Bind(const LayerMemory& memory) = 0;
  virtual void Forward(Context& ctx, const Tensors& y, const Tensors& x,
                       const MicroBatch& batch) = 0;
  // dx is overwritten; it may be dy where the shapes are the same.
  virtual void BackwardInput(Context& ctx, const Tensors& dx, const Tensors& dy, const Tensors& x,
                             const MicroBatch& batch) = 0;
};

// For what works outside of a model: memory for `part` (a layer, a branch, an attention), which is
// bound to it.
template <typename Part>
void BindAlone(Part& part, Activations& activations, const BatchShape& shape) {
  part.Bind({shape, activations});
  activations.Allocate();
  activations.Rewind();
  part.Bind({shape, activations});
}

}  // namespace treeformer
