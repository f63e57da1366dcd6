#include "core/layers/masked_lm_head.h"

#include "tests/core/small_model.h"

namespace treeformer {

namespace {

using namespace testing_util;

constexpr int64_t kLength = 12;
const Shape kRows{8, 16};  // a row for each target slot

class HeadBench : public LayerBench<MaskedLmHead> {
 public:
  HeadBench(const ModelConfig& config, const datasets::Batch& batch, DType dtype)
      : LayerBench(config, batch, dtype, [](const LayerBuilder& builder) {
          return std::make_unique<MaskedLmHead>(builder);
        }) {}

  double Loss(std::vector<double>& x, const MicroBatch& micro) {
    layer->Forward(ctx, {}, On(x, kRows), micro);
    double sum = 0;
    for (double loss : ReadAll<double>(layer->loss().as<double>())) sum += loss;
    return sum;
  }
};

TEST(MaskedLmHead, BackwardIsTheDerivativeOfTheSummedLoss) {
  const ModelConfig config = SmallConfig({FullAttention()});
  const datasets::Batch batch = SmallBatch(/*sequences=*/2, kLength, config.vocabulary);
  const MicroBatch micro = OnHost(batch, {});
  HeadBench bench(config, batch, DType::kFloat64);
  auto x = Random<double>(kRows.count(), 1);
  std::vector<double> dx(x.size(), 99);
  const auto loss = [&] { return bench.Loss(x, micro); };
  loss();
  bench.layer->BackwardInput(bench.ctx, On(dx, kRows), {}, On(x, kRows), micro);
  ExpectDerivative(loss, x, dx);
  ExpectParameterDerivatives(bench.parameters, loss);
}

TEST(MaskedLmHead, UnusedSlotsHaveNoLossAndNoGradient) {
  const ModelConfig config = SmallConfig({FullAttention()});
  const datasets::Batch batch = SmallBatch(/*sequences=*/2, kLength, config.vocabulary);
  const MicroBatch micro = OnHost(batch, {});
  HeadBench bench(config, batch, DType::kFloat64);
  auto x = Random<double>(kRows.count(), 1);
  std::vector<double> dx(x.size(), 99);
  bench.Loss(x, micro);
  bench.layer->BackwardInput(bench.ctx, On(dx, kRows), {}, On(x, kRows), micro);
  EXPECT_EQ(bench.layer->loss().as<double>()[3], 0);  // slots 3 and 7 are unused
  EXPECT_EQ(bench.layer->loss().as<double>()[7], 0);
  EXPECT_GT(bench.layer->loss().as<double>()[0], 0);
  for (int64_t m = 0; m < 8; ++m) {
    double largest = 0;
    for (int64_t c = 0; c < 16; ++c) largest = std::max(largest, std::abs(dx[m * 16 + c]));
    EXPECT_EQ(largest > 0, batch.target_token[m] >= 0) << "slot " << m;
  }
}

}  // namespace

}  // namespace treeformer
