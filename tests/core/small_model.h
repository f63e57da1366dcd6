#pragma once

// What the tests of core share: a small model, a batch with packed documents, padding and an
// unused target, one layer by itself, and its derivative.

#include <memory>
#include <string>
#include <vector>

#include "core/attention/registry.h"
#include "core/attention/tc_attention_layer.h"
#include "core/attention/tf_attention_layer.h"
#include "core/layer.h"
#include "datasets/batch.h"
#include "tests/testing.h"

namespace treeformer::testing_util {

inline AttentionConfig FullAttention() { return {}; }

inline AttentionConfig TreeAttention(const AttentionKind* kind, const TreeShape& shape,
                                     TreeGradient gradient) {
  AttentionConfig config;
  config.kind = kind;
  config.shape = shape;
  config.tree.gradient = gradient;
  return config;
}

// Weights of deviation 0.2, so that no branch is negligible beside its residual.
inline ModelConfig SmallConfig(const std::vector<AttentionConfig>& attention) {
  ModelConfig config;
  config.layers = attention.size();
  config.width = 16;
  config.heads = 2;
  config.feed_forward = 24;
  config.vocabulary = 29;
  config.max_positions = 12;
  config.initial_deviation = 0.2f;
  config.layer_norm_epsilon = 1e-6f;
  config.attention = attention;
  return config;
}

// Sequence b, n tokens: documents of n/3 and the rest; every second sequence ends in three tokens
// of padding.  Four target slots a sequence, the last of which is unused.
inline datasets::Batch SmallBatch(int64_t sequences, int64_t length, int64_t vocabulary) {
  datasets::Batch batch;
  batch.Resize(sequences, length, 4 * sequences);
  std::mt19937 engine(3);
  const auto token = [&] { return static_cast<int32_t>(engine() % vocabulary); };
  for (int64_t b = 0; b < sequences; ++b) {
    const int64_t used = length - (b % 2 ? 3 : 0), first = length / 3;
    for (int64_t i = 0; i < used; ++i) {
      batch.tokens[b * length + i] = token();
      batch.types[b * length + i] = i % 2;
      batch.document[b * length + i] = i < first ? 0 : 1;
      batch.positions[b * length + i] = i < first ? i : i - first;
    }
    for (int64_t m = 0; m < 3; ++m) {
      batch.target_position[4 * b + m] = b * length + m * used / 3;
      batch.target_token[4 * b + m] = token();
    }
  }
  return batch;
}

inline MicroBatch OnHost(const datasets::Batch& batch, const StepInfo& step) {
  const auto ids = [](const std::vector<int32_t>& values, Shape shape) {
    return Ids(values.data(), shape);
  };
  const int64_t B = batch.sequences, n = batch.length;
  const int64_t M = batch.target_token.size();
  MicroBatch micro;
  micro.step = step;
  micro.first_sample = batch.first_sample;
  micro.tokens = ids(batch.tokens, {B * n});
  micro.positions = ids(batch.positions, {B * n});
  micro.types = ids(batch.types, {B * n});
  micro.document = ids(batch.document, {B, n});
  micro.target_position = ids(batch.target_position, {M});
  micro.target_token = ids(batch.target_token, {M});
  micro.targets_of.assign(B, 3);
  return micro;
}

// One layer with its parameters, made by `make(builder)`.
template <typename Layer>
class LayerBench {
 public:
  template <typename Make>
  LayerBench(const ModelConfig& config, const datasets::Batch& batch, DType dtype, const Make& make)
      : config(config),
        shape{batch.sequences, batch.length, static_cast<int64_t>(batch.target_token.size())},
        activations(ctx.device(), dtype) {
    layer = make(LayerBuilder{this->config, parameters, weights});
    if constexpr (requires { layer->Bind({shape, activations}); }) {
      BindAlone(*layer, activations, shape);
    }
    parameters.Allocate(ctx, dtype);
    parameters.Initialize(ctx, /*seed=*/7);
  }

  Context ctx = Context::Cpu();
  const ModelConfig config;
  const BatchShape shape;
  Parameters parameters;
  WeightGradients weights;
  Activations activations;
  std::unique_ptr<Layer> layer;
};

template <typename T>
std::vector<T> ReadAll(View<const T> view) {
  return {view.data(), view.data() + view.count()};
}

inline std::vector<double> Values(const Parameters& parameters, const std::string& name) {
  const Parameter* parameter = parameters.Find(name);
  CHECK(parameter != nullptr) << name;
  return ReadAll<double>(Parameters::Window(parameters.values(), *parameter).as<double>());
}

inline std::vector<double> Gradient(const Parameters& parameters, const std::string& name) {
  const Parameter* parameter = parameters.Find(name);
  CHECK(parameter != nullptr) << name;
  return ReadAll<double>(Parameters::Window(parameters.gradients(), *parameter).as<double>());
}

// Values of a parameter, in float64 or float32.
inline void SetValues(const Parameters& parameters, const std::string& name,
                      const std::vector<double>& values) {
  const Parameter* parameter = parameters.Find(name);
  CHECK(parameter != nullptr) << name;
  const Out window = Parameters::Window(parameters.values(), *parameter);
  CHECK_EQ(window.count(), static_cast<int64_t>(values.size()));
  for (int64_t i = 0; i < window.count(); ++i) {
    if (window.dtype() == DType::kFloat64) {
      window.as<double>().data()[i] = values[i];
    } else {
      window.as<float>().data()[i] = static_cast<float>(values[i]);
    }
  }
}

// The gradient of each parameter against central differences of loss().
template <typename Loss>
void ExpectParameterDerivatives(const Parameters& parameters, const Loss& loss) {
  for (const Parameter& parameter : parameters.list()) {
    SCOPED_TRACE(parameter.name);
    std::vector<double> w = Values(parameters, parameter.name);
    const auto loss_of_w = [&] {
      SetValues(parameters, parameter.name, w);
      return loss();
    };
    ExpectDerivative(loss_of_w, w, Gradient(parameters, parameter.name));
    SetValues(parameters, parameter.name, w);
  }
}

inline double Dot(const std::vector<double>& a, const std::vector<double>& b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

template <typename T>
View<T> On(std::vector<T>& values, const Shape& shape) {
  CHECK_EQ(static_cast<int64_t>(values.size()), shape.count());
  return {values.data(), shape};
}

}  // namespace treeformer::testing_util
