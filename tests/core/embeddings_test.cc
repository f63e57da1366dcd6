#include "core/layers/embeddings.h"

#include "tests/core/small_model.h"

namespace treeformer {

namespace {

using namespace testing_util;

TEST(Embeddings, BackwardIsTheDerivativeOfForward) {
  const ModelConfig config = SmallConfig({FullAttention()});
  const datasets::Batch batch = SmallBatch(/*sequences=*/2, /*length=*/12, config.vocabulary);
  const MicroBatch micro = OnHost(batch, {.seed = 11});
  LayerBench<Embeddings> bench(config, batch, DType::kFloat64, [](const LayerBuilder& builder) {
    return std::make_unique<Embeddings>(builder);
  });
  const Shape rows{24, config.width};
  auto y = Random<double>(rows.count(), 1), dy = Random<double>(rows.count(), 2);
  const auto loss = [&] {
    bench.layer->Forward(bench.ctx, On(y, rows), {}, micro);
    return Dot(y, dy);
  };
  loss();
  bench.layer->BackwardInput(bench.ctx, {}, On(dy, rows), {}, micro);
  ExpectParameterDerivatives(bench.parameters, loss);
}

TEST(Embeddings, HaveTheNamesOfHuggingFace) {
  const ModelConfig config = SmallConfig({FullAttention()});
  const datasets::Batch batch = SmallBatch(/*sequences=*/1, /*length=*/12, config.vocabulary);
  LayerBench<Embeddings> bench(config, batch, DType::kFloat32, [](const LayerBuilder& builder) {
    return std::make_unique<Embeddings>(builder);
  });
  std::vector<std::string> names;
  for (const Parameter& parameter : bench.parameters.list()) names.push_back(parameter.name);
  EXPECT_EQ(names, (std::vector<std::string>{"bert.embeddings.word_embeddings.weight",
                                             "bert.embeddings.position_embeddings.weight",
                                             "bert.embeddings.token_type_embeddings.weight",
                                             "bert.embeddings.LayerNorm.weight",
                                             "bert.embeddings.LayerNorm.bias"}));
}

}  // namespace

}  // namespace treeformer
