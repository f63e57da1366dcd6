// What reaches the trees: the attention's own gradients against the kernels called by hand.

#include "core/attention/attention.h"

#include "kernels/tree/dense/soft_tree.h"
#include "kernels/tree/tc/tc_attention.h"
#include "kernels/tree/tf/tf_attention.h"
#include "tests/core/small_model.h"

namespace treeformer {

namespace {

using namespace testing_util;

constexpr int64_t B = 2, n = 12, H = 2, e = 8;
const Shape kHeads{B, n, H, e}, kRows{B, H, n};
const std::string kName = "bert.encoder.layer.0.attention.self";
const TreeShape kShape = TreeShape::Binary(2);

struct Rows {  // q, k, v or their gradients
  std::vector<double> q, k, v;
};

class AttentionBench : public LayerBench<Attention> {
 public:
  AttentionBench(const ModelConfig& config, const datasets::Batch& batch)
      : LayerBench(config, batch, DType::kFloat64, [](const LayerBuilder& builder) {
          return MakeAttention(builder, /*layer=*/0, kName);
        }) {}

  Rows ForwardBackward(const MicroBatch& micro) {
    Rows d{std::vector<double>(x.q.size()), x.q, x.q};
    std::vector<double> o(x.q.size());
    const AttentionInput input =
        SelfAttention(On(x.q, kHeads), On(x.k, kHeads), On(x.v, kHeads), micro);
    layer->Forward(ctx, On(o, kHeads), input, micro);
    parameters.ZeroGradients(ctx);
    layer->Backward(ctx, On(d.q, kHeads), On(d.k, kHeads), On(d.v, kHeads), On(d_o, kHeads), input,
                    On(o, kHeads), micro);
    return d;
  }

  Rows x{Random<double>(B * n * H * e, 1), Random<double>(B* n* H* e, 2),
         Random<double>(B* n* H* e, 3)};
  std::vector<double> d_o = Random<double>(B * n * H * e, 4);
};

// One side's rows routed by hand, and sorted by leaf.
struct Side {
  Side(Context& ctx, const std::vector<double>& x, const Parameters& parameters,
       const TreeShape& shape, Ids document) {
    const Routing routing{leaf, strength, alternative, own_plane, other_plane, margin};
    const auto weight = parameters.Find(kName + ".tree.weight");
    const auto bias = parameters.Find(kName + ".tree.bias");
    Route(ctx, routing,
          {View<const double>(x.data(), kHeads), Parameters::Window(parameters.values(), *weight),
           Parameters::Window(parameters.values(), *bias), shape},
          document, /*rule=*/{});
  }
  FlipDecisions decisions() const { return {own_plane, other_plane, margin}; }

  Buffer leaf = Ints(kRows), alternative = Ints(kRows), own_plane = Ints(kRows),
         other_plane = Ints(kRows);
  Buffer strength = Doubles(kRows), margin = Doubles(kRows);

  static Buffer Ints(const Shape& shape) { return Buffer(Device::kCpu, DType::kInt32, shape); }
  static Buffer Doubles(const Shape& shape) { return Buffer(Device::kCpu, DType::kFloat64, shape); }
};

Buffer Order(Context& ctx, Ids leaf, Ids document, const TreeShape& shape) {
  Buffer order = Side::Ints(kRows);
  SortByLeaf(ctx, order, leaf, document, shape.leaves());
  return order;
}

Buffer Ranges(Context& ctx, const RowsByLeaf& rows, const RowsByLeaf& others) {
  Buffer range = Side::Ints({B, H, n, 2});
  MatchRanges(ctx, range, rows, others);
  return range;
}

// The forward pass and the gradients of fixed routing of a TF layer, by hand.
struct TfByHand {
  TfByHand(AttentionBench& bench, const TreeShape& shape, const MicroBatch& micro)
      : ctx(bench.ctx),
        document(micro.document),
        queries(ctx, bench.x.q, bench.parameters, shape, document),
        keys(ctx, bench.x.k, bench.parameters, shape, document),
        query_order(Order(ctx, queries.leaf, document, shape)),
        key_order(Order(ctx, keys.leaf, document, shape)),
        key_range(
            Ranges(ctx, {query_order, queries.leaf, document}, {key_order, keys.leaf, document})),
        query_range(
            Ranges(ctx, {key_order, keys.leaf, document}, {query_order, queries.leaf, document})) {
    const Out q = On(bench.x.q, kHeads), k = On(bench.x.k, kHeads), v = On(bench.x.v, kHeads);
    const Buffer o = Side::Doubles(kHeads);
    const TfOperands operands{q, k, v, {query_order, key_order, key_range, query_range}, {}};
    TfForward(ctx, o, lse, operands);
    TfBackward(ctx, {On(d.q, kHeads), On(d.k, kHeads), On(d.v, kHeads), delta, key_effect},
               On(bench.d_o, kHeads), o, lse, operands);
  }

  Context& ctx;
  Ids document;
  Side queries, keys;
  Buffer query_order, key_order, key_range, query_range;
  Buffer lse = Side::Doubles(kRows), delta = Side::Doubles(kRows),
         key_effect = Side::Doubles(kRows);
  Rows d{std::vector<double>(B * n * H * e), std::vector<double>(B* n* H* e),
         std::vector<double>(B* n* H* e)};
};

struct TreeGradients {
  explicit TreeGradients(const TreeShape& shape)
      : weight(Side::Doubles({H, shape.planes(), e})), bias(Side::Doubles({H, shape.planes()})) {}
  Buffer weight, bias;
};

double Norm(const std::vector<double>& x) { return std::sqrt(Dot(x, x)); }

void ExpectGradients(const AttentionBench& bench, const Rows& d, const Rows& expected,
                     const TreeGradients& tree) {
  EXPECT_EQ(d.q, expected.q);
  EXPECT_EQ(d.k, expected.k);
  EXPECT_EQ(d.v, expected.v);
  const auto weight = Gradient(bench.parameters, kName + ".tree.weight");
  EXPECT_EQ(weight, ReadAll<double>(tree.weight.as<double>()));
  EXPECT_EQ(Gradient(bench.parameters, kName + ".tree.bias"),
            ReadAll<double>(tree.bias.as<double>()));
  EXPECT_GT(Norm(weight), 0);
}

ModelConfig ConfigOf(const AttentionConfig& attention) {
  ModelConfig config = SmallConfig({attention});
  config.attention_dropout = 0;
  return config;
}

RouterOperands RouterOf(const AttentionBench& bench, In x, const TreeShape& shape) {
  const Parameters& parameters = bench.parameters;
  return {x, Parameters::Window(parameters.values(), *parameters.Find(kName + ".tree.weight")),
          Parameters::Window(parameters.values(), *parameters.Find(kName + ".tree.bias")), shape};
}

class TfFlipTest : public testing::TestWithParam<bool> {};

TEST_P(TfFlipTest, GradientIsTheGainsOfTheAlternativeLeaves) {
  const TreeShape shape = GetParam() ? kShape : TreeShape::Kary({3, 2});
  AttentionConfig attention = TreeAttention(&kTfAttention, shape, TreeGradient::kFlip);
  attention.tree.temperature = 0.7f;
  const ModelConfig config = ConfigOf(attention);
  const datasets::Batch batch = SmallBatch(B, n, config.vocabulary);
  const MicroBatch micro = OnHost(batch, {});
  AttentionBench bench(config, batch);
  const Rows d = bench.ForwardBackward(micro);

  TfByHand hand(bench, shape, micro);
  Context& ctx = bench.ctx;
  const Ids query_other = hand.queries.alternative, key_other = hand.keys.alternative;
  const Buffer query_order = Order(ctx, query_other, hand.document, shape);
  const Buffer key_order = Order(ctx, key_other, hand.document, shape);
  const Buffer key_range = Ranges(ctx, {query_order, query_other, hand.document},
                                  {hand.key_order, hand.keys.leaf, hand.document});
  const Buffer query_range = Ranges(ctx, {key_order, key_other, hand.document},
                                    {hand.query_order, hand.queries.leaf, hand.document});
  const Buffer query_gain = Side::Doubles(kRows), key_gain = Side::Doubles(kRows);
  const Out q = On(bench.x.q, kHeads), k = On(bench.x.k, kHeads), v = On(bench.x.v, kHeads);
  FlipGains(ctx, query_gain, key_gain,
            {On(bench.d_o, kHeads),
             q,
             k,
             v,
             hand.lse,
             hand.delta,
             hand.key_effect,
             {query_order, hand.key_order, key_range, hand.query_range},
             {hand.query_order, key_order, hand.key_range, query_range},
             /*causal=*/false});
  const TreeGradients tree(shape);
  FlipBackward(ctx, {tree.weight, tree.bias, On(hand.d.q, kHeads)}, query_gain,
               RouterOf(bench, q, shape), hand.queries.decisions(), 0.7f);
  FlipBackward(ctx, {tree.weight, tree.bias, On(hand.d.k, kHeads)}, key_gain,
               RouterOf(bench, k, shape), hand.keys.decisions(), 0.7f);
  ExpectGradients(bench, d, hand.d, tree);
}

INSTANTIATE_TEST_SUITE_P(BinaryAndKary, TfFlipTest, testing::Bool());

TEST(TfDense, GradientIsTheLeafEffectsThroughTheSoftTree) {
  const ModelConfig config = ConfigOf(TreeAttention(&kTfAttention, kShape, TreeGradient::kDense));
  const datasets::Batch batch = SmallBatch(B, n, config.vocabulary);
  const MicroBatch micro = OnHost(batch, {});
  AttentionBench bench(config, batch);
  const Rows d = bench.ForwardBackward(micro);

  TfByHand hand(bench, kShape, micro);
  const Out q = On(bench.x.q, kHeads), k = On(bench.x.k, kHeads), v = On(bench.x.v, kHeads);
  const Buffer query_effect = Side::Doubles({B, H, n, 4}), key_effect = Side::Doubles({B, H, n, 4});
  DenseLeafEffects(bench.ctx, query_effect, key_effect,
                   {On(bench.d_o, kHeads),
                    q,
                    k,
                    v,
                    hand.lse,
                    hand.delta,
                    hand.queries.leaf,
                    hand.keys.leaf,
                    hand.document,
                    {}});
  const TreeGradients tree(kShape);
  SoftTreeBackward(bench.ctx, {tree.weight, tree.bias, On(hand.d.q, kHeads)}, query_effect,
                   RouterOf(bench, q, kShape), hand.queries.strength, hand.queries.leaf);
  SoftTreeBackward(bench.ctx, {tree.weight, tree.bias, On(hand.d.k, kHeads)}, key_effect,
                   RouterOf(bench, k, kShape), hand.keys.strength, hand.keys.leaf);
  ExpectGradients(bench, d, hand.d, tree);
}

TEST(TfDense, RunsOnEveryKthStepOnly) {
  AttentionConfig attention = TreeAttention(&kTfAttention, kShape, TreeGradient::kDense);
  attention.tree.router_interval = 3;
  const ModelConfig config = ConfigOf(attention);
  const datasets::Batch batch = SmallBatch(B, n, config.vocabulary);
  AttentionBench bench(config, batch);
  for (int64_t step = 0; step < 7; ++step) {
    bench.ForwardBackward(OnHost(batch, {.step = step}));
    const double norm = Norm(Gradient(bench.parameters, kName + ".tree.weight"));
    EXPECT_EQ(norm > 0, step % 3 == 0) << "step " << step;
  }
}

// dv, dalpha and the effects by TcBackward; the tree's gradient from the effects by `backward`.
template <typename Backward>
void ExpectTcGradients(TreeGradient gradient, const TreeShape& shape, const Backward& backward) {
  const ModelConfig config = ConfigOf(TreeAttention(&kTcAttention, shape, gradient));
  const datasets::Batch batch = SmallBatch(B, n, config.vocabulary);
  const MicroBatch micro = OnHost(batch, {});
  AttentionBench bench(config, batch);
  const Rows d = bench.ForwardBackward(micro);

  const Side queries(bench.ctx, bench.x.q, bench.parameters, shape, micro.document);
  const Side keys(bench.ctx, bench.x.k, bench.parameters, shape, micro.document);
  const Shape effects{B, H, n, shape.leaves()};
  const Buffer query_effect = Side::Doubles(effects), key_effect = Side::Doubles(effects);
  const Buffer dalpha = Side::Doubles({H, shape.height() + 1});
  const std::vector<double> zeros(B * n * H * e, 0);
  Rows expected{zeros, zeros, zeros};
  TcBackward(
      bench.ctx, {On(expected.v, kHeads), dalpha, query_effect, key_effect}, On(bench.d_o, kHeads),
      {On(bench.x.v, kHeads),
       Parameters::Window(bench.parameters.values(), *bench.parameters.Find(kName + ".tree.alpha")),
       queries.leaf, keys.leaf, micro.document, shape});
  const TreeGradients tree(shape);
  backward(bench, tree, On(expected.q, kHeads), query_effect, On(bench.x.q, kHeads), queries);
  backward(bench, tree, On(expected.k, kHeads), key_effect, On(bench.x.k, kHeads), keys);
  ExpectGradients(bench, d, expected, tree);
  EXPECT_EQ(Gradient(bench.parameters, kName + ".tree.alpha"),
            ReadAll<double>(dalpha.as<double>()));
}

TEST(TcDense, GradientIsTheLeafEffectsThroughTheSoftTree) {
  ExpectTcGradients(TreeGradient::kDense, kShape,
                    [](AttentionBench& bench, const TreeGradients& tree, Acc dx, In effect, In x,
                       const Side& side) {
                      SoftTreeBackward(bench.ctx, {tree.weight, tree.bias, dx}, effect,
                                       RouterOf(bench, x, kShape), side.strength, side.leaf);
                    });
}

TEST(TcFlip, GradientIsTheEffectOfTheAlternativeLeaf) {
  for (const TreeShape& shape : {kShape, TreeShape::Kary({3, 2})}) {
    ExpectTcGradients(TreeGradient::kFlip, shape,
                      [&](AttentionBench& bench, const TreeGradients& tree, Acc dx, In effect, In x,
                          const Side& side) {
                        const Buffer gain = Side::Doubles(kRows);
                        GainFromEffects(bench.ctx, gain, effect, side.leaf, side.alternative);
                        FlipBackward(bench.ctx, {tree.weight, tree.bias, dx}, gain,
                                     RouterOf(bench, x, shape), side.decisions(), /*tau=*/1);
                      });
  }
}

// With the balance loss alone: sum_b targets_b weight L sum_leaf f_leaf pbar_leaf, both sides.
TEST(BalanceLoss, GradientIsThatOfTheSoftSharesOfTheLeaves) {
  for (const AttentionKind* kind : {&kTfAttention, &kTcAttention}) {
    AttentionConfig attention = TreeAttention(kind, kShape, TreeGradient::kNone);
    attention.tree.balance = Balance::kLoss;
    attention.tree.balance_weight = 0.5f;
    const ModelConfig config = ConfigOf(attention);
    const datasets::Batch batch = SmallBatch(B, n, config.vocabulary);
    MicroBatch micro = OnHost(batch, {});
    micro.targets_of = {2, 5};
    AttentionBench bench(config, batch);
    bench.d_o.assign(bench.d_o.size(), 0);
    const Rows d = bench.ForwardBackward(micro);

    Rows expected{std::vector<double>(d.q.size(), 0), std::vector<double>(d.q.size(), 0),
                  std::vector<double>(d.q.size(), 0)};
    const TreeGradients tree(kShape);
    const auto balance = [&](const std::vector<double>& x, std::vector<double>& dx) {
      const Side side(bench.ctx, x, bench.parameters, kShape, micro.document);
      const Buffer effect = Side::Doubles({B, H, 1, 4});
      BalanceEffect(bench.ctx, effect, side.leaf, 0.5f);
      for (int64_t i = 0; i < B * H * 4; ++i) effect.as<double>()[i] *= i < H * 4 ? 2 : 5;
      SoftTreeBackward(bench.ctx, {tree.weight, tree.bias, On(dx, kHeads)}, effect,
                       RouterOf(bench, View<const double>(x.data(), kHeads), kShape), side.strength,
                       side.leaf);
    };
    balance(bench.x.q, expected.q);
    balance(bench.x.k, expected.k);
    const auto weight = Gradient(bench.parameters, kName + ".tree.weight");
    const auto expected_weight = ReadAll<double>(tree.weight.as<double>());
    EXPECT_GT(Norm(weight), 0);
    for (size_t i = 0; i < weight.size(); ++i) EXPECT_NEAR(weight[i], expected_weight[i], 1e-13);
    for (size_t i = 0; i < d.q.size(); ++i) {
      EXPECT_NEAR(d.q[i], expected.q[i], 1e-13);
      EXPECT_NEAR(d.k[i], expected.k[i], 1e-13);
    }
  }
}

// Planes (0, w) of a k-ary node decide as the plane w of a binary node, and so does their gradient.
TEST(Kary, ATreeOfPairsIsTheBinaryTree) {
  const TreeShape binary = TreeShape::Binary(3), kary = TreeShape::Kary({2, 2, 2});
  const auto config = [](const TreeShape& shape) {
    return ConfigOf(TreeAttention(&kTfAttention, shape, TreeGradient::kFlip));
  };
  const datasets::Batch batch = SmallBatch(B, n, config(binary).vocabulary);
  const MicroBatch micro = OnHost(batch, {});
  AttentionBench binary_bench(config(binary), batch), kary_bench(config(kary), batch);
  const auto weight = Values(binary_bench.parameters, kName + ".tree.weight");
  std::vector<double> pairs(2 * weight.size(), 0);
  const auto second = [](size_t i) { return (i / e * 2 + 1) * e + i % e; };
  for (size_t i = 0; i < weight.size(); ++i) pairs[second(i)] = weight[i];
  SetValues(kary_bench.parameters, kName + ".tree.weight", pairs);
  const Rows d = binary_bench.ForwardBackward(micro), d_kary = kary_bench.ForwardBackward(micro);
  const auto dw = Gradient(binary_bench.parameters, kName + ".tree.weight");
  const auto dw_kary = Gradient(kary_bench.parameters, kName + ".tree.weight");
  constexpr double kTolerance = 1e-13;  // sums of about a hundred terms of size 1
  for (size_t i = 0; i < d.q.size(); ++i) {
    EXPECT_NEAR(d_kary.q[i], d.q[i], kTolerance);
    EXPECT_NEAR(d_kary.k[i], d.k[i], kTolerance);
    EXPECT_NEAR(d_kary.v[i], d.v[i], kTolerance);
  }
  EXPECT_GT(Norm(dw), 0);
  for (size_t i = 0; i < dw.size(); ++i) {
    EXPECT_NEAR(dw_kary[second(i)], dw[i], kTolerance);
    EXPECT_NEAR(dw_kary[second(i) - e], -dw[i], kTolerance);
  }
}

TEST(Statistics, OfFullAttentionAreOfDensityOne) {
  const ModelConfig config = ConfigOf(FullAttention());
  const datasets::Batch batch = SmallBatch(B, n, config.vocabulary);
  const MicroBatch micro = OnHost(batch, {});
  AttentionBench bench(config, batch);
  bench.ForwardBackward(micro);
  EXPECT_EQ(bench.layer->ReadStatistics(bench.ctx, micro).density, 1);
  EXPECT_TRUE(bench.layer->trees().empty());
}

TEST(Statistics, OfATreeCountEveryKeyOnce) {
  const ModelConfig config = ConfigOf(TreeAttention(&kTfAttention, kShape, TreeGradient::kFlip));
  const datasets::Batch batch = SmallBatch(B, n, config.vocabulary);
  const MicroBatch micro = OnHost(batch, {});
  AttentionBench bench(config, batch);
  bench.ForwardBackward(micro);
  const TreeStatistics statistics = bench.layer->ReadStatistics(bench.ctx, micro);
  EXPECT_EQ(statistics.leaves, 4);
  EXPECT_GT(statistics.density, 0);
  EXPECT_LT(statistics.density, 1);
  ASSERT_EQ(statistics.keys_per_leaf.size(), size_t{H * 4});
  double keys = 0;
  for (int64_t i = 0; i < 4; ++i) keys += statistics.keys_per_leaf[i];
  EXPECT_NEAR(keys, batch.CountTokens() / double{B}, 1e-12);
}

}  // namespace

}  // namespace treeformer
