#include "core/attention/sliding_window_attention.h"
#include "tests/core/small_model.h"

namespace treeformer {

namespace {

using namespace testing_util;

constexpr int64_t H = 2, e = 8;

AttentionConfig Window(int64_t window, bool causal = false) {
  AttentionConfig config;
  config.kind = &kSlidingWindowAttention;
  config.numbers = SlidingWindow{window};
  config.causal = causal;
  config.dropout = 0.0f;
  return config;
}

// Attention alone over random rows of two sequences with packed documents and padding.
template <typename T>
class WindowBench : public LayerBench<Attention> {
 public:
  WindowBench(const AttentionConfig& attention, int64_t length)
      : LayerBench(SmallConfig({attention}), SmallBatch(2, length, 29), DTypeOf<T>(),
                   [](const LayerBuilder& builder) {
                     return MakeAttention(builder, /*layer=*/0, "attention");
                   }),
        batch(SmallBatch(2, length, 29)),
        micro(OnHost(batch, {})),
        rows{2, length, H, e},
        q(Random<T>(rows.count(), 1)),
        k(Random<T>(rows.count(), 2)),
        v(Random<T>(rows.count(), 3)),
        o(rows.count()) {}

  std::vector<T> Forward() {
    layer->Forward(ctx, On(o, rows), Input(), micro);
    return o;
  }
  void Backward(std::vector<T>& dq, std::vector<T>& dk, std::vector<T>& dv, std::vector<T>& d_o) {
    for (auto* d : {&dq, &dk, &dv}) d->assign(rows.count(), 99);
    layer->Backward(ctx, On(dq, rows), On(dk, rows), On(dv, rows), On(d_o, rows), Input(),
                    On(o, rows), micro);
  }

  AttentionInput Input() { return SelfAttention(On(q, rows), On(k, rows), On(v, rows), micro); }

  // The definition.
  bool Sees(int64_t b, int64_t i, int64_t j) const {
    const int64_t n = rows[1];
    const int32_t own = batch.document[b * n + i];
    const AttentionConfig& attention = config.attention[0];
    const int64_t window = std::any_cast<SlidingWindow>(attention.numbers).window;
    return own >= 0 && own == batch.document[b * n + j] && std::abs(i - j) <= window / 2 &&
           (!attention.causal || j <= i);
  }
  int64_t At(int64_t b, int64_t i, int64_t h) const { return ((b * rows[1] + i) * H + h) * e; }

  const datasets::Batch batch;
  const MicroBatch micro;
  const Shape rows;
  std::vector<T> q, k, v, o;
};

// The softmax over the keys that the definition gives, one by one.
std::vector<double> SlowForward(const WindowBench<double>& bench) {
  std::vector<double> o(bench.rows.count(), 0);
  const auto score = [&](int64_t b, int64_t i, int64_t j, int64_t h) {
    double sum = 0;
    for (int64_t c = 0; c < e; ++c)
      sum += bench.q[bench.At(b, i, h) + c] * bench.k[bench.At(b, j, h) + c];
    return std::exp(sum / std::sqrt(double{e}));
  };
  for (int64_t b = 0; b < 2; ++b) {
    for (int64_t i = 0; i < bench.rows[1]; ++i) {
      for (int64_t h = 0; h < H; ++h) {
        double total = 0;
        for (int64_t j = 0; j < bench.rows[1]; ++j) {
          if (bench.Sees(b, i, j)) total += score(b, i, j, h);
        }
        for (int64_t j = 0; j < bench.rows[1]; ++j) {
          if (!bench.Sees(b, i, j)) continue;
          const double p = score(b, i, j, h) / total;
          for (int64_t c = 0; c < e; ++c)
            o[bench.At(b, i, h) + c] += p * bench.v[bench.At(b, j, h) + c];
        }
      }
    }
  }
  return o;
}

// Alone, alone too, one neighbour, odd, all but the ends, as long as the sequence, longer.
TEST(SlidingWindow, OutputIsTheSoftmaxOverTheNearKeysOfTheDocument) {
  for (const bool causal : {false, true}) {
    for (const int64_t window : {0, 1, 2, 5, 11, 12, 24, 1000}) {
      SCOPED_TRACE(testing::Message() << "window " << window << (causal ? ", causal" : ""));
      WindowBench<double> bench(Window(window, causal), /*length=*/12);
      const std::vector<double> expected = SlowForward(bench), found = bench.Forward();
      for (size_t i = 0; i < found.size(); ++i) EXPECT_NEAR(found[i], expected[i], 1e-14) << i;
    }
  }
}

TEST(SlidingWindow, BackwardIsTheDerivativeOfForward) {
  for (const bool causal : {false, true}) {
    for (const int64_t window : {0, 3, 8, 1000}) {
      SCOPED_TRACE(testing::Message() << "window " << window << (causal ? ", causal" : ""));
      AttentionConfig attention = Window(window, causal);
      attention.dropout = 0.25f;
      WindowBench<double> bench(attention, /*length=*/12);
      auto d_o = Random<double>(bench.rows.count(), 4);
      std::vector<double> dq, dk, dv;
      const auto loss = [&] { return Dot(bench.Forward(), d_o); };
      loss();
      bench.Backward(dq, dk, dv, d_o);
      ExpectDerivative(loss, bench.q, dq);
      ExpectDerivative(loss, bench.k, dk);
      ExpectDerivative(loss, bench.v, dv);
    }
  }
}

// Over several tiles.  Sums over the keys of a query have weights of sum 1.
TEST(SlidingWindow, FloatIsTheReferenceToRounding) {
  for (const bool causal : {false, true}) {
    for (const int64_t window : {1, 63, 128, 401, 2000}) {
      SCOPED_TRACE(testing::Message() << "window " << window << (causal ? ", causal" : ""));
      const int64_t n = 401;
      WindowBench<float> fast(Window(window, causal), n);
      WindowBench<double> exact(Window(window, causal), n);
      exact.q.assign(fast.q.begin(), fast.q.end());
      exact.k.assign(fast.k.begin(), fast.k.end());
      exact.v.assign(fast.v.begin(), fast.v.end());
      auto d_o = Random<float>(fast.rows.count(), 4);
      std::vector<double> wide_d_o(d_o.begin(), d_o.end());
      const auto o = fast.Forward();
      const auto exact_o = exact.Forward();
      std::vector<float> dq, dk, dv;
      std::vector<double> exact_dq, exact_dk, exact_dv;
      fast.Backward(dq, dk, dv, d_o);
      exact.Backward(exact_dq, exact_dk, exact_dv, wide_d_o);
      const double unit = 32 * std::numeric_limits<float>::epsilon();
      const double queries = std::sqrt(double{n});  // of a key: terms of random sign
      for (size_t i = 0; i < o.size(); ++i) {
        ASSERT_NEAR(o[i], exact_o[i], unit) << i;
        ASSERT_NEAR(dq[i], exact_dq[i], 2 * unit) << i;
        ASSERT_NEAR(dk[i], exact_dk[i], 2 * unit * queries) << i;
        ASSERT_NEAR(dv[i], exact_dv[i], unit * queries) << i;
      }
    }
  }
}

TEST(SlidingWindow, OverTheWholeSequenceIsFullAttentionBitForBit) {
  AttentionConfig full;
  full.dropout = 0.0f;
  WindowBench<float> window(Window(2 * 300), 300), all(full, 300);
  EXPECT_EQ(window.Forward(), all.Forward());
  auto d_o = Random<float>(window.rows.count(), 4);
  std::vector<float> dq, dk, dv, full_dq, full_dk, full_dv;
  window.Backward(dq, dk, dv, d_o);
  all.Backward(full_dq, full_dk, full_dv, d_o);
  EXPECT_EQ(dq, full_dq);
  EXPECT_EQ(dk, full_dk);
  EXPECT_EQ(dv, full_dv);
}

TEST(SlidingWindow, StatisticsCountThePairsThatAreSeen) {
  for (const bool causal : {false, true}) {
    WindowBench<float> bench(Window(5, causal), 12);
    bench.Forward();
    double pairs = 0, all = 0;
    const WindowBench<float> full(Window(1000), 12);
    for (int64_t b = 0; b < 2; ++b) {
      for (int64_t i = 0; i < 12; ++i) {
        for (int64_t j = 0; j < 12; ++j) pairs += bench.Sees(b, i, j), all += full.Sees(b, i, j);
      }
    }
    const TreeStatistics statistics = bench.layer->ReadStatistics(bench.ctx, bench.micro);
    EXPECT_EQ(statistics.counts.pairs, H * pairs);
    EXPECT_EQ(statistics.counts.all_pairs, H * all);
    EXPECT_EQ(statistics.counts.queries, H * bench.batch.CountTokens());
    EXPECT_EQ(statistics.density, pairs / all);
    EXPECT_TRUE(bench.layer->trees().empty());
  }
}

TEST(SlidingWindow, CostsTwoProductsOfThePairsOfOneDocument) {
  for (const auto& [window, causal, pairs] : {std::tuple{0, false, 10},
                                              {4, false, 10 + 9 + 9 + 8 + 8},
                                              {4, true, 10 + 9 + 8},
                                              {18, false, 100},
                                              {1000, false, 100},
                                              {1000, true, 55}}) {
    const ModelConfig config = SmallConfig({Window(window, causal)});
    const AttentionCost cost = CostOfAttention(config, 0, /*n=*/10);
    EXPECT_EQ(cost.pairs, 4.0 * pairs * 16) << window;
    EXPECT_EQ(cost.density, pairs / 100.0) << window;
    EXPECT_EQ(cost.parameters, 0);
    EXPECT_EQ(cost.Training(), 3.5 * cost.pairs);
  }
}

}  // namespace

}  // namespace treeformer
