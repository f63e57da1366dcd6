#include "kernels/tree/dense/dense_effects.h"

#include "tests/kernels/tree/soft_testing.h"

namespace treeformer {

namespace {

using namespace testing_util;
using namespace tree_testing;

struct DenseCase {
  TreeCase tree;
  DenseOptions options;
};

// Few rows over many leaves, so that some queries' leaves hold no key; a clamp that binds.
std::vector<DenseCase> Cases() {
  std::vector<DenseCase> cases;
  for (const DenseTerms terms : {DenseTerms::kClamped, DenseTerms::kBounded, DenseTerms::kInLeaf}) {
    for (const bool causal : {false, true}) {
      const DenseOptions options{terms, /*clamp=*/1.5f, causal};
      cases.push_back({{1, 1, 1, 1, TreeShape::Binary(1), 1, false}, options});
      cases.push_back({{2, 13, 2, 3, TreeShape::Binary(3), 1, true}, options});
      cases.push_back({{1, 19, 2, 5, TreeShape::Kary({3, 2}), 3, true}, options});
    }
  }
  return cases;
}

// The inputs of one call, with the lse and delta of in-leaf attention, from the definition.
template <typename T>
struct Dense {
  explicit Dense(const DenseCase& d)
      : c(d.tree),
        options(d.options),
        document(c.Document()),
        query_leaf(c.Leaves(1)),
        key_leaf(c.Leaves(2)),
        q(Random<T>(c.elements(), 3)),
        k(Random<T>(c.elements(), 4)),
        v(Random<T>(c.elements(), 5)),
        d_o(Random<T>(c.elements(), 6)),
        lse(c.rows(), 0),
        delta(c.rows(), 0) {
    for (T& value : q) value *= 3;
    for (int64_t b = 0; b < c.B; ++b) {
      for (int64_t h = 0; h < c.H; ++h) {
        for (int64_t i = 0; i < c.n; ++i) Attend(b, h, i);
      }
    }
  }
  template <typename Other>
  explicit Dense(const Dense<Other>& other)
      : c(other.c),
        options(other.options),
        document(other.document),
        query_leaf(other.query_leaf),
        key_leaf(other.key_leaf),
        q(Converted<T>(other.q)),
        k(Converted<T>(other.k)),
        v(Converted<T>(other.v)),
        d_o(Converted<T>(other.d_o)),
        lse(Converted<T>(other.lse)),
        delta(Converted<T>(other.delta)) {}

  void Run() {
    Context ctx = Context::Cpu();
    Run(ctx);
  }
  void Run(Context& ctx) {
    const Buffer query_on = Upload(ctx, std::vector<T>(c.effects(), 7), c.effect_shape());
    const Buffer key_on = Upload(ctx, std::vector<T>(c.effects(), 7), c.effect_shape());
    const auto on = [&](const std::vector<T>& values) { return Upload(ctx, values, c.x_shape()); };
    DenseLeafEffects(
        ctx, query_on, key_on,
        {on(d_o), on(q), on(k), on(v), Upload(ctx, lse, c.row_shape()),
         Upload(ctx, delta, c.row_shape()), Upload(ctx, query_leaf, c.row_shape()),
         Upload(ctx, key_leaf, c.row_shape()), Upload(ctx, document, {c.B, c.n}), options});
    query_effect = Download<T>(ctx, query_on);
    key_effect = Download<T>(ctx, key_on);
  }

  int64_t row(int64_t b, int64_t h, int64_t i) const { return (b * c.H + h) * c.n + i; }
  double Product(const std::vector<T>& x, const std::vector<T>& y, int64_t b, int64_t h, int64_t i,
                 int64_t j) const {
    double sum = 0;
    for (int64_t x_c = 0; x_c < c.e; ++x_c) {
      sum += static_cast<double>(x[((b * c.n + i) * c.H + h) * c.e + x_c]) *
             y[((b * c.n + j) * c.H + h) * c.e + x_c];
    }
    return sum;
  }
  double Score(int64_t b, int64_t h, int64_t i, int64_t j) const {
    return Product(q, k, b, h, i, j) / std::sqrt(static_cast<double>(c.e));
  }
  // Query i may see key j, whatever their leaves.
  bool Sees(int64_t b, int64_t i, int64_t j) const {
    return document[b * c.n + i] >= 0 && document[b * c.n + i] == document[b * c.n + j] &&
           (!options.causal || j <= i);
  }

  // <dO_i, O_i> of softmax attention over `keys`; 0 when there is none.  lse: log of the sum.
  double Attention(int64_t b, int64_t h, int64_t i, const std::vector<int64_t>& keys,
                   double* log_sum = nullptr) const {
    double sum = 0, value = 0;
    for (const int64_t j : keys) {
      sum += std::exp(Score(b, h, i, j));
      value += std::exp(Score(b, h, i, j)) * Product(d_o, v, b, h, i, j);
    }
    if (log_sum != nullptr) *log_sum = std::log(sum);
    return sum == 0 ? 0 : value / sum;
  }
  std::vector<int64_t> KeysOfLeaf(int64_t b, int64_t h, int64_t i, int64_t leaf) const {
    std::vector<int64_t> keys;
    for (int64_t j = 0; j < c.n; ++j) {
      if (Sees(b, i, j) && key_leaf[row(b, h, j)] == leaf) keys.push_back(j);
    }
    return keys;
  }
  void Attend(int64_t b, int64_t h, int64_t i) {
    double log_sum = 0;
    const int64_t r = row(b, h, i);
    delta[r] = static_cast<T>(Attention(b, h, i, KeysOfLeaf(b, h, i, query_leaf[r]), &log_sum));
    lse[r] = static_cast<T>(log_sum);
  }

  TreeCase c;
  DenseOptions options;
  std::vector<int32_t> document, query_leaf, key_leaf;
  std::vector<T> q, k, v, d_o, lse, delta, query_effect, key_effect;
};

// visit(b, h, i) for every row that is not padding
template <typename Visit>
void ForEachToken(const Dense<double>& dense, const Visit& visit) {
  for (int64_t b = 0; b < dense.c.B; ++b) {
    for (int64_t h = 0; h < dense.c.H; ++h) {
      for (int64_t i = 0; i < dense.c.n; ++i) {
        if (dense.document[b * dense.c.n + i] >= 0) visit(b, h, i);
      }
    }
  }
}

TEST(DenseLeafEffects, AreTheSumsOfTheWeightedPairs) {
  int64_t empty = 0, clamped = 0;
  for (const DenseCase& d : Cases()) {
    SCOPED_TRACE(testing::Message() << d.tree);
    Dense<double> dense(d);
    dense.Run();
    const int64_t L = d.tree.shape.leaves();
    std::vector<double> query_effect(d.tree.effects()), key_effect(d.tree.effects());
    ForEachToken(dense, [&](int64_t b, int64_t h, int64_t i) {
      const int64_t row = dense.row(b, h, i);
      double sum_all = 0, sum_own = 0;  // of exp(S)
      for (int64_t j = 0; j < d.tree.n; ++j) {
        if (!dense.Sees(b, i, j)) continue;
        const double weight = std::exp(dense.Score(b, h, i, j));
        sum_all += weight;
        if (dense.key_leaf[dense.row(b, h, j)] == dense.query_leaf[row]) sum_own += weight;
      }
      empty += sum_own == 0;
      const double Z = sum_own > 0 ? sum_own : sum_all;
      for (int64_t j = 0; j < d.tree.n; ++j) {
        if (!dense.Sees(b, i, j)) continue;
        const int32_t other = dense.key_leaf[dense.row(b, h, j)];
        const double exp_s = std::exp(dense.Score(b, h, i, j));
        double weight = exp_s / Z;
        if (d.options.terms == DenseTerms::kClamped) {
          clamped += weight > d.options.clamp;
          weight = std::min(weight, double{d.options.clamp});
        } else if (other != dense.query_leaf[row]) {
          weight = d.options.terms == DenseTerms::kBounded ? exp_s / (Z + exp_s) : 0;
        }
        const double X =
            weight * (dense.Product(dense.d_o, dense.v, b, h, i, j) - dense.delta[row]);
        query_effect[row * L + other] += X;
        key_effect[dense.row(b, h, j) * L + dense.query_leaf[row]] += X;
      }
    });
    for (size_t x = 0; x < query_effect.size(); ++x) {
      ASSERT_NEAR(dense.query_effect[x], query_effect[x], 1e-12) << x;
      ASSERT_NEAR(dense.key_effect[x], key_effect[x], 1e-12) << x;
    }
  }
  EXPECT_GT(empty, 0);
  EXPECT_GT(clamped, 0);
}

// The reason why kInLeaf teaches queries nothing: softmax does not see the scale of its terms.
TEST(DenseLeafEffects, AQuerysOwnLeafHasNoEffectInLeaf) {
  for (const DenseCase& d : Cases()) {
    if (d.options.terms == DenseTerms::kClamped) continue;
    Dense<double> dense(d);
    dense.Run();
    ForEachToken(dense, [&](int64_t b, int64_t h, int64_t i) {
      const int64_t row = dense.row(b, h, i), L = d.tree.shape.leaves();
      for (int64_t leaf = 0; leaf < L; ++leaf) {
        if (d.options.terms == DenseTerms::kBounded && leaf != dense.query_leaf[row]) continue;
        EXPECT_NEAR(dense.query_effect[row * L + leaf], 0, 1e-13);
      }
    });
  }
}

// kBounded, a leaf the key is not in: <dO_i, O_i with the key - O_i> over the leaf's queries.
TEST(DenseLeafEffects, BoundedTermsAreTheExactEffectOfAKeyJoiningALeaf) {
  for (const DenseCase& d : Cases()) {
    if (d.options.terms != DenseTerms::kBounded) continue;
    SCOPED_TRACE(testing::Message() << d.tree);
    Dense<double> dense(d);
    dense.Run();
    int64_t checked = 0;
    ForEachToken(dense, [&](int64_t b, int64_t h, int64_t j) {
      const int64_t key_row = dense.row(b, h, j), L = d.tree.shape.leaves();
      for (int64_t leaf = 0; leaf < L; ++leaf) {
        if (leaf == dense.key_leaf[key_row]) continue;
        double expected = 0;
        bool alone = false;  // some query would see the key only: L_i is another's there
        for (int64_t i = 0; i < d.tree.n; ++i) {
          if (!dense.Sees(b, i, j) || dense.query_leaf[dense.row(b, h, i)] != leaf) continue;
          std::vector<int64_t> keys = dense.KeysOfLeaf(b, h, i, leaf);
          alone |= keys.empty();
          keys.push_back(j);
          expected += dense.Attention(b, h, i, keys) - dense.delta[dense.row(b, h, i)];
        }
        if (alone) continue;
        ++checked;
        EXPECT_NEAR(dense.key_effect[key_row * L + leaf], expected, 1e-12);
      }
    });
    if (d.tree.n > 1) {
      EXPECT_GT(checked, 20);
    }
  }
}

TEST(DenseLeafEffects, PaddingGivesAndGetsNothing) {
  for (const DenseCase& d : Cases()) {
    if (!d.tree.padding) continue;
    Dense<float> dense(d);
    dense.Run();
    const std::vector<float> query_effect = dense.query_effect, key_effect = dense.key_effect;
    const int64_t L = d.tree.shape.leaves();
    for (int64_t row = 0; row < d.tree.rows(); ++row) {
      if (dense.query_leaf[row] >= 0) continue;
      const int64_t b = row / d.tree.n / d.tree.H, h = row / d.tree.n % d.tree.H;
      const int64_t element = ((b * d.tree.n + row % d.tree.n) * d.tree.H + h) * d.tree.e;
      for (auto* x : {&dense.q, &dense.k, &dense.v, &dense.d_o}) (*x)[element] = NAN;
      for (int64_t x = row * L; x < (row + 1) * L; ++x) {
        EXPECT_EQ(query_effect[x], 0);
        EXPECT_EQ(key_effect[x], 0);
      }
    }
    dense.Run();
    EXPECT_EQ(dense.query_effect, query_effect);
    EXPECT_EQ(dense.key_effect, key_effect);
  }
}

TEST(DenseLeafEffects, EmptyInputIsLeftAlone) {
  Dense<float> dense({{2, 0, 1, 3, TreeShape::Binary(2), 1, false}, {}});
  dense.Run();
  EXPECT_TRUE(dense.query_effect.empty());
}

TEST(DenseLeafEffects, BitsDoNotDependOnTheNumberOfThreads) {
  Dense<float> dense({{1, 300, 3, 17, TreeShape::Binary(3), 2, true}, {}});
  ExpectSameBits([&] {
    dense.Run();
    std::vector<float> all = dense.query_effect;
    all.insert(all.end(), dense.key_effect.begin(), dense.key_effect.end());
    return all;
  });
}

class DenseBackendTest : public Float32Test {};

// X = w (dP - D): the exponent S - L carries the error of a product of e terms of size 3 / sqrt(e)
// and of L, which w turns into a relative one.  Errors of the up to n pairs of a sum are
// independent, |dP - D| stays near 2 sqrt(e / 9) (e products of mean square 1/9).
TEST_P(DenseBackendTest, AgreesWithTheReference) {
  constexpr float kEpsilon = std::numeric_limits<float>::epsilon();
  std::vector<DenseCase> cases = Cases();
  for (const DenseTerms terms : {DenseTerms::kClamped, DenseTerms::kBounded, DenseTerms::kInLeaf}) {
    for (const bool causal : {false, true}) {
      const DenseOptions options{terms, /*clamp=*/5, causal};
      cases.push_back({{1, 65, 2, 31, TreeShape::Binary(5), 1, true}, options});
      cases.push_back({{1, 257, 1, 64, TreeShape::Binary(2), 1, false}, options});
    }
  }
  for (const DenseCase& d : cases) {
    SCOPED_TRACE(testing::Message() << d.tree);
    Dense<float> fast(d);
    fast.Run(ctx_);
    Dense<double> exact(fast);
    exact.Run();
    const float n = d.tree.n, e = d.tree.e, weight = std::max(1.0f, d.options.clamp);
    const float exponent = SumTolerance(d.tree.e, 3 / std::sqrt(e)) + 16 * kEpsilon;
    const float pair = weight * (exponent * 2 * std::sqrt(e) / 3 + SumTolerance(d.tree.e, 1));
    const float tolerance =
        std::sqrt(n) * pair + SumTolerance(d.tree.n, weight * 2 * std::sqrt(e) / 3);
    ExpectClose(fast.query_effect, exact.query_effect, tolerance, "query effect");
    ExpectClose(fast.key_effect, exact.key_effect, tolerance, "key effect");
  }
}

INSTANTIATE_BACKENDS(DenseBackendTest);

}  // namespace

}  // namespace treeformer
