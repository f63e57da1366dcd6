#include "core/layers/linear_layer.h"

#include "kernels/matmul/linear.h"
#include "kernels/norm.h"

namespace treeformer {

LinearLayer::LinearLayer(const LayerBuilder& builder, const std::string& name, int64_t outputs,
                         int64_t inputs)
    : parameters_(&builder.parameters),
      weights_(&builder.weights),
      weight_(parameters_->Declare(name + ".weight", {outputs, inputs},
                                   Initializer::Normal(builder.config.initial_deviation),
                                   Role::kWeight, builder.layer)),
      bias_(parameters_->Declare(name + ".bias", {outputs}, Initializer::Zeros(), Role::kBias,
                                 builder.layer)) {}

void LinearLayer::Forward(Context& ctx, Out y, In x) const {
  LinearForward(ctx, y, x, parameters_->value(weight_), parameters_->value(bias_));
}

void LinearLayer::GeluForward(Context& ctx, Out y, Out pre, In x) const {
  LinearGeluForward(ctx, y, pre, x, parameters_->value(weight_), parameters_->value(bias_));
}

void LinearLayer::Backward(Context& ctx, Out dx, In dy, In x, bool accumulate) const {
  weights_->Do(ctx, [parameters = parameters_, weight = weight_, bias = bias_, dy, x](Context& c) {
    LinearBackwardWeights(c, parameters->gradient(weight), parameters->gradient(bias), dy, x);
  });
  LinearBackwardInput(ctx, dx, dy, parameters_->value(weight_), accumulate);
}

LayerNormLayer::LayerNormLayer(const LayerBuilder& builder, const std::string& name)
    : parameters_(&builder.parameters),
      gamma_(parameters_->Declare(name + ".weight", {builder.config.width},
                                  Initializer::Constant(1), Role::kNorm, builder.layer)),
      beta_(parameters_->Declare(name + ".bias", {builder.config.width}, Initializer::Zeros(),
                                 Role::kNorm, builder.layer)),
      epsilon_(builder.config.layer_norm_epsilon) {}

void LayerNormLayer::Bind(const LayerMemory& memory, int64_t rows) {
  mean_ = memory.activations.MakeStatistics({rows});
  rstd_ = memory.activations.MakeStatistics({rows});
}

void LayerNormLayer::Forward(Context& ctx, Out y, In x) const {
  LayerNormForward(ctx, y, mean_, rstd_, x, parameters_->value(gamma_), parameters_->value(beta_),
                   epsilon_);
}

void LayerNormLayer::Backward(Context& ctx, Out dx, In dy, In x) const {
  LayerNormBackward(ctx, {dx, parameters_->gradient(gamma_), parameters_->gradient(beta_)}, dy, x,
                    parameters_->value(gamma_), mean_, rstd_);
}

}  // namespace treeformer
