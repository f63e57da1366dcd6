#include "kernels/tree/tc/tc_attention.h"

#include "tests/kernels/tree/soft_testing.h"

namespace treeformer {

namespace {

using namespace testing_util;
using namespace tree_testing;

std::vector<TreeCase> Cases() {
  return {{1, 1, 1, 1, TreeShape::Binary(1), 1, false},
          {2, 13, 2, 3, TreeShape::Binary(3), 1, true},
          {1, 19, 3, 5, TreeShape::Kary({3, 2}), 2, true},
          {2, 9, 1, 4, TreeShape::Binary(0), 3, false}};
}

// All tensors of one call, in T; evaluated on the CPU or the device of `ctx`.
template <typename T>
struct Tc {
  explicit Tc(const TreeCase& c)
      : c(c),
        document(c.Document()),
        query_leaf(c.Leaves(1)),
        key_leaf(c.Leaves(2)),
        v(Random<T>(c.elements(), 3)),
        alpha(Random<T>(c.H * c.levels(), 4)),
        d_o(Random<T>(c.elements(), 5)) {}
  template <typename Other>
  explicit Tc(const Tc<Other>& other)
      : c(other.c),
        document(other.document),
        query_leaf(other.query_leaf),
        key_leaf(other.key_leaf),
        v(Converted<T>(other.v)),
        alpha(Converted<T>(other.alpha)),
        d_o(Converted<T>(other.d_o)) {}

  void Run() {
    Context ctx = Context::Cpu();
    Run(ctx);
  }
  void Run(Context& ctx) {
    const Buffer queries = Upload(ctx, query_leaf, c.row_shape());
    const Buffer keys = Upload(ctx, key_leaf, c.row_shape());
    const Buffer documents = Upload(ctx, document, {c.B, c.n});
    const Buffer v_on = Upload(ctx, v, c.x_shape()), d_o_on = Upload(ctx, d_o, c.x_shape());
    const Buffer alpha_on = Upload(ctx, alpha, {c.H, c.levels()});
    // Outputs start from rubbish, accumulators from zero.
    const Buffer o_on = Upload(ctx, std::vector<T>(c.elements(), 7), c.x_shape());
    const Buffer dv_on = Upload(ctx, std::vector<T>(c.elements(), 7), c.x_shape());
    const Buffer dalpha_on = Upload(ctx, std::vector<T>(alpha.size(), 0), {c.H, c.levels()});
    const Buffer query_on = Upload(ctx, std::vector<T>(c.effects(), 7), c.effect_shape());
    const Buffer key_on = Upload(ctx, std::vector<T>(c.effects(), 7), c.effect_shape());
    const TcOperands operands{v_on, alpha_on, queries, keys, documents, c.shape};
    TcForward(ctx, o_on, operands);
    TcBackward(ctx, {dv_on, dalpha_on, query_on, key_on}, d_o_on, operands);
    o = Download<T>(ctx, o_on);
    dv = Download<T>(ctx, dv_on);
    dalpha = Download<T>(ctx, dalpha_on);
    query_effect = Download<T>(ctx, query_on);
    key_effect = Download<T>(ctx, key_on);
  }

  double Loss() {
    Context ctx = Context::Cpu();
    std::vector<T> out(c.elements());
    TcForward(
        ctx, On(out, c.x_shape()),
        {On(std::as_const(v), c.x_shape()), On(std::as_const(alpha), {c.H, c.levels()}),
         On(std::as_const(query_leaf), c.row_shape()), On(std::as_const(key_leaf), c.row_shape()),
         On(std::as_const(document), {c.B, c.n}), c.shape});
    double loss = 0;
    for (size_t i = 0; i < out.size(); ++i) loss += out[i] * d_o[i];
    return loss;
  }

  int64_t row(int64_t b, int64_t h, int64_t i) const { return (b * c.H + h) * c.n + i; }
  int64_t element(int64_t b, int64_t i, int64_t h) const { return ((b * c.n + i) * c.H + h) * c.e; }
  bool SameDocument(int64_t b, int64_t i, int64_t j) const {
    return document[b * c.n + i] >= 0 && document[b * c.n + i] == document[b * c.n + j];
  }

  TreeCase c;
  std::vector<int32_t> document, query_leaf, key_leaf;
  std::vector<T> v, alpha, d_o, o, dv, dalpha, query_effect, key_effect;
};

// visit(b, h, i) for every row that is not padding
template <typename Visit>
void ForEachToken(const Tc<double>& tc, const Visit& visit) {
  for (int64_t b = 0; b < tc.c.B; ++b) {
    for (int64_t h = 0; h < tc.c.H; ++h) {
      for (int64_t i = 0; i < tc.c.n; ++i) {
        if (tc.document[b * tc.c.n + i] >= 0) visit(b, h, i);
      }
    }
  }
}

// alpha <sum dO of the node's queries, nu> where the key j of the same document counts `weight`
// times in nu's mean instead of as the routing says: the relaxed objective of one node.
double NodeValue(const Tc<double>& tc, int64_t b, int64_t h, int64_t j, int level, int64_t node,
                 double weight) {
  const TreeCase& c = tc.c;
  std::vector<double> sum(c.e), query_sum(c.e);
  double count = 0;
  for (int64_t i = 0; i < c.n; ++i) {
    if (!tc.SameDocument(b, i, j)) continue;
    const int64_t row = tc.row(b, h, i), element = tc.element(b, i, h);
    double in = NodeAbove(c.shape, tc.key_leaf[row], level) == node;
    if (i == j) in = weight;
    count += in;
    for (int64_t x = 0; x < c.e; ++x) sum[x] += in * tc.v[element + x];
    if (NodeAbove(c.shape, tc.query_leaf[row], level) != node) continue;
    for (int64_t x = 0; x < c.e; ++x) query_sum[x] += tc.d_o[element + x];
  }
  double value = 0;
  if (count == 0) return value;
  for (int64_t x = 0; x < c.e; ++x) value += query_sum[x] * sum[x] / count;
  return tc.alpha[h * c.levels() + level] * value;
}

TEST(TcAttention, EveryQueryGetsTheWeightedNodeMeansOfItsPath) {
  for (const TreeCase& c : Cases()) {
    SCOPED_TRACE(testing::Message() << c);
    Tc<double> tc(c);
    tc.Run();
    std::vector<double> expected(c.elements());
    ForEachToken(tc, [&](int64_t b, int64_t h, int64_t i) {
      for (int level = 0; level < c.levels(); ++level) {
        const int64_t own = NodeAbove(c.shape, tc.query_leaf[tc.row(b, h, i)], level);
        std::vector<double> sum(c.e);
        int64_t count = 0;
        for (int64_t j = 0; j < c.n; ++j) {
          if (!tc.SameDocument(b, i, j)) continue;
          if (NodeAbove(c.shape, tc.key_leaf[tc.row(b, h, j)], level) != own) continue;
          ++count;
          for (int64_t x = 0; x < c.e; ++x) sum[x] += tc.v[tc.element(b, j, h) + x];
        }
        for (int64_t x = 0; count > 0 && x < c.e; ++x) {
          expected[tc.element(b, i, h) + x] += tc.alpha[h * c.levels() + level] * sum[x] / count;
        }
      }
    });
    for (size_t i = 0; i < expected.size(); ++i) ASSERT_NEAR(tc.o[i], expected[i], 1e-14);
  }
}

TEST(TcAttention, BackwardIsTheDerivativeOfForward) {
  for (const TreeCase& c : Cases()) {
    SCOPED_TRACE(testing::Message() << c);
    Tc<double> tc(c);
    tc.Run();
    ExpectDerivative([&] { return tc.Loss(); }, tc.v, tc.dv);
    ExpectDerivative([&] { return tc.Loss(); }, tc.alpha, tc.dalpha);
  }
}

TEST(TcAttention, QueryEffectIsTheChangeOfTheLossWhenTheQueryMoves) {
  for (const TreeCase& c : Cases()) {
    SCOPED_TRACE(testing::Message() << c);
    Tc<double> tc(c);
    tc.Run();
    const double before = tc.Loss();
    ForEachToken(tc, [&](int64_t b, int64_t h, int64_t i) {
      const int64_t row = tc.row(b, h, i), L = c.shape.leaves();
      const int32_t own = tc.query_leaf[row];
      for (int64_t other = 0; other < L; other += 2) {
        tc.query_leaf[row] = static_cast<int32_t>(other);
        EXPECT_NEAR(tc.query_effect[row * L + other] - tc.query_effect[row * L + own],
                    tc.Loss() - before, 1e-12);
      }
      tc.query_leaf[row] = own;
    });
  }
}

// A node that the key is not in: the exact change when it joins.  A node that it is in: the
// derivative in its weight.
TEST(TcAttention, KeyEffectIsThatOfJoiningTheNodesOfALeafsPath) {
  constexpr double kStep = 1e-5;
  for (const TreeCase& c : Cases()) {
    SCOPED_TRACE(testing::Message() << c);
    Tc<double> tc(c);
    tc.Run();
    ForEachToken(tc, [&](int64_t b, int64_t h, int64_t j) {
      const int64_t row = tc.row(b, h, j), L = c.shape.leaves();
      for (int64_t leaf = 0; leaf < L; ++leaf) {
        double expected = 0;
        for (int level = 0; level < c.levels(); ++level) {
          const int64_t node = NodeAbove(c.shape, leaf, level);
          const auto value = [&](double weight) {
            return NodeValue(tc, b, h, j, level, node, weight);
          };
          const bool inside = NodeAbove(c.shape, tc.key_leaf[row], level) == node;
          expected +=
              inside ? (value(1 + kStep) - value(1 - kStep)) / (2 * kStep) : value(1) - value(0);
        }
        EXPECT_NEAR(tc.key_effect[row * L + leaf], expected, 1e-7 * (1 + std::abs(expected)));
      }
    });
  }
}

TEST(TcAttention, HeightZeroIsThePlainMeanOfTheDocument) {
  const TreeCase c{1, 7, 1, 1, TreeShape::Binary(0), 1, false};
  Tc<double> tc(c);
  tc.alpha = {1};
  tc.Run();
  double mean = 0;
  for (double v : tc.v) mean += v / 7;
  for (double o : tc.o) EXPECT_NEAR(o, mean, 1e-15);
}

TEST(TcAttention, GrowingByALevelOfAlphaZeroChangesNothing) {
  const TreeCase c{2, 13, 2, 3, TreeShape::Binary(2), 2, true};
  Tc<double> tc(c);
  tc.Run();
  Tc<double> grown(tc);
  grown.c.shape = TreeShape::Binary(3);
  grown.alpha.clear();
  for (int64_t h = 0; h < c.H; ++h) {
    grown.alpha.insert(grown.alpha.end(), tc.alpha.begin() + h * 3, tc.alpha.begin() + h * 3 + 3);
    grown.alpha.push_back(0);
  }
  for (std::vector<int32_t>* leaf : {&grown.query_leaf, &grown.key_leaf}) {
    for (size_t i = 0; i < leaf->size(); ++i) {
      if ((*leaf)[i] >= 0) (*leaf)[i] = 2 * (*leaf)[i] + static_cast<int32_t>(i % 3 == 0);
    }
  }
  grown.Run();
  for (size_t i = 0; i < tc.o.size(); ++i) {
    EXPECT_NEAR(grown.o[i], tc.o[i], 1e-15);
    EXPECT_NEAR(grown.dv[i], tc.dv[i], 1e-14);
  }
}

TEST(TcAttention, PaddingGivesAndGetsNothing) {
  const TreeCase c{2, 16, 2, 3, TreeShape::Binary(2), 2, true};
  Tc<float> tc(c);
  tc.Run();
  const std::vector<float> o = tc.o, dv = tc.dv, dalpha = tc.dalpha;
  int64_t padding = 0;
  for (int64_t b = 0; b < c.B; ++b) {
    for (int64_t i = 0; i < c.n; ++i) {
      if (tc.document[b * c.n + i] >= 0) continue;
      ++padding;
      for (int64_t h = 0; h < c.H; ++h) {
        for (int64_t x = tc.element(b, i, h); x < tc.element(b, i, h) + c.e; ++x) {
          EXPECT_EQ(tc.o[x], 0);
          EXPECT_EQ(tc.dv[x], 0);
          tc.v[x] = tc.d_o[x] = NAN;
        }
        for (int64_t m = 0; m < c.shape.leaves(); ++m) {
          EXPECT_EQ(tc.query_effect[tc.row(b, h, i) * c.shape.leaves() + m], 0);
          EXPECT_EQ(tc.key_effect[tc.row(b, h, i) * c.shape.leaves() + m], 0);
        }
      }
    }
  }
  EXPECT_GT(padding, 0);
  tc.Run();
  EXPECT_EQ(tc.o, o);
  EXPECT_EQ(tc.dv, dv);
  EXPECT_EQ(tc.dalpha, dalpha);
}

TEST(TcAttention, EmptyInputIsLeftAlone) {
  Tc<float> tc({2, 0, 1, 3, TreeShape::Binary(2), 1, false});
  tc.Run();
  EXPECT_TRUE(tc.o.empty());
}

TEST(TcAttention, BitsDoNotDependOnTheNumberOfThreads) {
  Tc<float> tc({2, 37, 3, 17, TreeShape::Binary(3), 2, true});
  ExpectSameBits([&] {
    tc.Run();
    std::vector<float> all = tc.o;
    for (const auto* part : {&tc.dv, &tc.dalpha, &tc.query_effect, &tc.key_effect}) {
      all.insert(all.end(), part->begin(), part->end());
    }
    return all;
  });
}

class GainFromEffectsOn : public BackendTest {};
INSTANTIATE_BACKENDS(GainFromEffectsOn);

TEST_P(GainFromEffectsOn, IsTheDifferenceOfTwoEffects) {
  const Buffer effect = Upload<float>(ctx_, {1, 2, 5, 4, 8, 16, 7, 7, 7}, {1, 1, 3, 3});
  const Buffer leaf = Upload<int32_t>(ctx_, {0, 2, -1}, {1, 1, 3});
  const Buffer alternative = Upload<int32_t>(ctx_, {2, 1, -1}, {1, 1, 3});
  const Buffer gain = Upload<float>(ctx_, {9, 9, 9}, {1, 1, 3});
  GainFromEffects(ctx_, gain, effect, leaf, alternative);
  EXPECT_EQ(Download<float>(ctx_, gain), (std::vector<float>{4, -8, 0}));
}

class TcBackendTest : public Float32Test {};
INSTANTIATE_BACKENDS(TcBackendTest);

// A sum of up to n random values of [-1, 1] stays near sqrt(n); sums over e and over the levels are
// bounded by their number of terms.
TEST_P(TcBackendTest, AgreesWithTheReference) {
  std::vector<TreeCase> cases = Cases();
  cases.push_back({1, 33, 2, 31, TreeShape::Binary(5), 1, true});
  cases.push_back({2, 65, 1, 64, TreeShape::Kary({7, 3}), 3, true});
  cases.push_back({1, 130, 1, 33, TreeShape::Binary(2), 1, false});
  for (const TreeCase& c : cases) {
    SCOPED_TRACE(testing::Message() << c);
    Tc<float> fast(c);
    fast.Run(ctx_);
    Tc<double> exact(fast);
    exact.Run();
    const float levels = c.levels(), e = c.e, sum = std::sqrt(static_cast<float>(c.n));
    ExpectClose(fast.o, exact.o, SumTolerance(c.n, levels), "o");
    ExpectClose(fast.dv, exact.dv, SumTolerance(c.n, levels * sum), "dv");
    ExpectClose(fast.dalpha, exact.dalpha, SumTolerance(c.B * c.n * c.e, sum), "dalpha");
    ExpectClose(fast.query_effect, exact.query_effect, SumTolerance(c.n + c.e, e * levels),
                "query effect");
    ExpectClose(fast.key_effect, exact.key_effect, SumTolerance(c.n + c.e, 2 * e * levels * sum),
                "key effect");
  }
}

}  // namespace

}  // namespace treeformer
