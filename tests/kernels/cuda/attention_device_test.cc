// Attention on a GPU, where there is one, launchers and buckets included: TF with FLIP's gains, TC.

#include "tests/kernels/cuda/device_testing.h"
#include "tests/kernels/cuda/flip_gains_case.h"
#include "tests/kernels/cuda/tc_case.h"
#include "tests/kernels/cuda/tf_reference.h"

namespace treeformer {

namespace {

using namespace emulated_testing;
using tc_case::Tc;
using tree_testing::BucketStore;
using tree_testing::CaseSize;
using tree_testing::Collapse;
using tree_testing::TreeCase;

class AttentionDevice : public DeviceTest {
 protected:
  BucketStore Store(const TfCase& c, const std::vector<int32_t>& queries,
                    const std::vector<int32_t>& keys) {
    return c.AttentionCase::Store(*ctx_, queries, keys);
  }

  tf_reference::Result RunTf(const TfCase& c, bool key_effect = true) {
    const Shape rows = c.rows(), lists = c.lists();
    const Tensor<BFloat16> q = Put(c.q16, rows), k = Put(c.k16, rows), v = Put(c.v16, rows);
    const Tensor<BFloat16> d_o = Put(c.d_o16, rows), o = Output(rows);
    const Tensor<BFloat16> dq = Output(rows), dk = Output(rows), dv = Output(rows);
    const Tensor<float> lse = FloatOutput(lists), delta = FloatOutput(lists);
    const Tensor<float> effect = FloatOutput(lists);
    const BucketStore store = Store(c, c.query_leaf, c.key_leaf);
    const TfOperands operands{q, k, v, store.buckets(), c.options};
    TfForward(*ctx_, o, lse, operands);
    TfBackward(*ctx_, {dq, dk, dv, delta, key_effect ? Out(effect) : Out()}, d_o, o, lse, operands);
    return {o.values(),   dq.values(),    dk.values(),    dv.values(),
            lse.values(), delta.values(), effect.values()};
  }
  void ExpectTf(TfCase& c) {
    const tf_reference::Result result = RunTf(c);
    ExpectRight(c, result, Reference(c, result));
  }

  Gains RunGains(const TfCase& c, const Statistics& x) {
    const Tensor<BFloat16> q = Put(c.q16, c.rows()), k = Put(c.k16, c.rows());
    const Tensor<BFloat16> v = Put(c.v16, c.rows()), d_o = Put(c.d_o16, c.rows());
    const Tensor<float> query = FloatOutput(c.lists()), key = FloatOutput(c.lists());
    const BucketStore query_probe = Store(c, c.query_other, c.key_leaf);
    const BucketStore key_probe = Store(c, c.query_leaf, c.key_other);
    // A probe reads the ranges of its own side only.
    Buckets of_queries = query_probe.buckets(), of_keys = key_probe.buckets();
    of_queries.query_range = of_keys.key_range = Ids();
    FlipGains(*ctx_, query, key,
              {d_o, q, k, v, Put(x.lse, c.lists()), Put(x.delta, c.lists()),
               Put(x.key_effect, c.lists()), of_queries, of_keys, c.options.causal});
    return {query.values(), key.values()};
  }
  void ExpectGains(TfCase& c) {
    const Statistics x = StatisticsOf(c);
    ExpectRight(c, RunGains(c, x), Reference(c, x), x);
  }

  void RunTc(Tc& tc, bool effects = true) {
    const TreeCase& c = tc.c;
    const Shape levels{c.H, c.levels()};
    const Tensor<BFloat16> v = Put(tc.v, c.x_shape()), d_o = Put(tc.d_o, c.x_shape());
    const Tensor<BFloat16> o = Output(c.x_shape()), dv = Output(c.x_shape());
    const Tensor<float> alpha = Put(tc.alpha, levels), dalpha = Put(tc.dalpha, levels);
    const Tensor<float> query = FloatOutput(c.effect_shape()), key = FloatOutput(c.effect_shape());
    const Tensor<int32_t> query_leaf = Put(tc.query_leaf, c.row_shape());
    const Tensor<int32_t> key_leaf = Put(tc.key_leaf, c.row_shape());
    const Tensor<int32_t> document = Put(tc.document, {c.B, c.n});
    const TcOperands operands{v, alpha, query_leaf, key_leaf, document, c.shape};
    TcForward(*ctx_, o, operands);
    TcBackward(*ctx_, {dv, dalpha, effects ? Out(query) : Out(), effects ? Out(key) : Out()}, d_o,
               operands);
    tc.o = o.values(), tc.dv = dv.values(), tc.dalpha_out = dalpha.values();
    tc.query_effect = query.values(), tc.key_effect = key.values();
  }
  void ExpectTc(Tc& tc) {
    RunTc(tc);
    ExpectResults(tc, tc_case::Expected(tc, /*magnitudes=*/false),
                  tc_case::Expected(tc, /*magnitudes=*/true), KeyMagnitudes(tc));
  }
};

// One row; not a multiple of a tile; packed documents with padding; many empty leaves; every width.
std::vector<TfCase> TfCases() {
  std::vector<TfCase> cases;
  for (const CaseSize& size :
       {CaseSize{1, 1, 1, 64, 1}, CaseSize{2, 3, 64, 32, 5, 3, true}, CaseSize{1, 1, 150, 64, 300},
        CaseSize{1, 2, 131, 32, 3, 2, true}, CaseSize{2, 1, 131, 64, 3, 2, true},
        CaseSize{1, 1, 131, 96, 2, 2, true}, CaseSize{1, 1, 131, 128, 2, 2, true},
        CaseSize{1, 1, 257, 32, 1, 1, true}}) {
    for (const bool causal : {false, true}) {
      cases.emplace_back(size);
      cases.back().options.causal = causal;
    }
  }
  return cases;
}

std::string Name(const TfCase& c) {
  const testing::Message name = testing::Message()
                                << "n = " << c.size.n << ", e = " << c.size.e << ", leaves "
                                << c.size.leaves << (c.options.causal ? ", causal" : "")
                                << (c.options.dropout.enabled() ? ", dropout" : "");
  return name.GetString();
}

// All queries would be or are in leaf 7, all keys in another or in the same.
std::vector<TfCase> CollapsedCases() {
  std::vector<TfCase> cases;
  for (const int32_t key_leaf : {3, 7}) {
    TfCase& c = cases.emplace_back(CaseSize{1, 1, 97, 64, 8, 2, true});
    for (auto* leaf : {&c.query_leaf, &c.query_other}) Collapse(*leaf, 7);
    for (auto* leaf : {&c.key_leaf, &c.key_other}) Collapse(*leaf, key_leaf);
  }
  return cases;
}

TEST_F(AttentionDevice, TfIsTheReferenceOnRoundedOperands) {
  for (TfCase& c : TfCases()) {
    for (const bool dropout : {false, true}) {
      if (dropout) c.options.dropout = tf_reference::SomeDropout();
      SCOPED_TRACE(Name(c));
      ExpectTf(c);
    }
  }
  for (TfCase& c : CollapsedCases()) ExpectTf(c);
}

TEST_F(AttentionDevice, TfInAWindowIsTheReferenceOnRoundedOperands) {
  TfCase c({1, 2, 257, 64, 1, 2, true});
  for (const int64_t reach : {0, 33}) {
    c.reach = reach;
    c.options.causal = reach == 33;
    SCOPED_TRACE(Name(c));
    ExpectTf(c);
  }
}

TEST_F(AttentionDevice, TfHasTheSameBitsTwiceAndWithoutTheEffectsOfKeys) {
  TfCase c({1, 2, 200, 64, 3, 2, true});
  c.options.dropout = tf_reference::SomeDropout();
  const tf_reference::Result first = RunTf(c);
  for (const bool key_effect : {true, false}) {
    const tf_reference::Result again = RunTf(c, key_effect);
    EXPECT_EQ(ToFloat(again.o), ToFloat(first.o));
    EXPECT_EQ(again.lse, first.lse);
    EXPECT_EQ(ToFloat(again.dq), ToFloat(first.dq));
    EXPECT_EQ(ToFloat(again.dk), ToFloat(first.dk));
    EXPECT_EQ(ToFloat(again.dv), ToFloat(first.dv));
    EXPECT_EQ(again.delta, first.delta);
    if (key_effect) {
      EXPECT_EQ(again.key_effect, first.key_effect);
    } else {
      for (const float effect : again.key_effect) EXPECT_TRUE(std::isnan(effect));
    }
  }
}

TEST_F(AttentionDevice, FlipGainsAreTheReferenceOnRoundedOperands) {
  for (TfCase& c : TfCases()) {
    SCOPED_TRACE(Name(c));
    ExpectGains(c);
  }
  for (TfCase& c : CollapsedCases()) ExpectGains(c);
}

TEST_F(AttentionDevice, FlipGainsHaveTheSameBitsTwice) {
  TfCase c({1, 2, 200, 64, 3, 2, true});
  const Statistics statistics = StatisticsOf(c);
  const Gains first = RunGains(c, statistics), again = RunGains(c, statistics);
  EXPECT_EQ(again.query, first.query);
  EXPECT_EQ(again.key, first.key);
}

// One row; odd and even rows of any width; many documents; a document over more than one block's
// tokens; more leaves than rows.
std::vector<TreeCase> TcCases() {
  return {{1, 1, 1, 1, TreeShape::Binary(1), 1, false},
          {2, 13, 2, 3, TreeShape::Binary(3), 1, true},
          {2, 9, 1, 8, TreeShape::Binary(0), 3, false},
          {1, 67, 3, 32, TreeShape::Kary({3, 4}), 2, true},
          {1, 131, 2, 64, TreeShape::Binary(5), 1, true},
          {2, 65, 1, 96, TreeShape::Kary({7, 3}), 5, true},
          {1, 70, 1, 128, TreeShape::Binary(7), 2, false},
          {1, 701, 1, 8, TreeShape::Binary(2), 1, true}};
}

TEST_F(AttentionDevice, TcIsTheReferenceOnRoundedOperands) {
  for (const TreeCase& c : TcCases()) {
    SCOPED_TRACE(c);
    Tc tc(c);
    ExpectTc(tc);
    const auto last = static_cast<int32_t>(c.shape.leaves()) - 1;
    Collapse(tc.query_leaf, last);
    Collapse(tc.key_leaf, c.H == 1 ? 0 : last);
    ExpectTc(tc);
  }
}

TEST_F(AttentionDevice, TcHasTheSameBitsTwiceAndWithoutEffects) {
  Tc tc({1, 701, 2, 24, TreeShape::Kary({3, 4}), 2, true});
  RunTc(tc);
  const Tc first = tc;
  for (const bool effects : {true, false}) {
    RunTc(tc, effects);
    EXPECT_EQ(ToFloat(tc.o), ToFloat(first.o));
    EXPECT_EQ(ToFloat(tc.dv), ToFloat(first.dv));
    EXPECT_EQ(tc.dalpha_out, first.dalpha_out);
    if (effects) {
      EXPECT_EQ(tc.query_effect, first.query_effect);
      EXPECT_EQ(tc.key_effect, first.key_effect);
    } else {
      for (const float effect : tc.query_effect) EXPECT_TRUE(std::isnan(effect));
      for (const float effect : tc.key_effect) EXPECT_TRUE(std::isnan(effect));
    }
  }
}

TEST_F(AttentionDevice, GainsFromEffectsAreTheirDifferences) {
  const TreeCase c{2, 43, 3, 1, TreeShape::Kary({3, 4}), 1, true};
  const std::vector<int32_t> leaf = c.Leaves(1), alternative = c.Leaves(2);
  const std::vector<float> effect = dense_testing::Random<float>(c.effects(), 3);
  std::vector<float> expected(c.rows());
  for (int64_t row = 0; row < c.rows(); ++row) {
    const float* effects = &effect[row * c.shape.leaves()];
    if (leaf[row] >= 0) expected[row] = effects[alternative[row]] - effects[leaf[row]];
  }
  const Tensor<float> gain = FloatOutput(c.row_shape());
  GainFromEffects(*ctx_, gain, Put(effect, c.effect_shape()), Put(leaf, c.row_shape()),
                  Put(alternative, c.row_shape()));
  EXPECT_EQ(gain.values(), expected);
}

}  // namespace

}  // namespace treeformer
