// Attention whose queries and keys are of different sequences with different lengths.

#include "tests/core/small_model.h"

namespace treeformer {

namespace {

using namespace testing_util;

constexpr int64_t B = 2, H = 2, e = 8;

// document [B, length]: two documents a sequence; the second sequence ends in padding.
std::vector<int32_t> TwoDocuments(int64_t length) {
  std::vector<int32_t> document(B * length);
  for (int64_t i = 0; i < B * length; ++i) {
    const int64_t position = i % length;
    document[i] = position < length / 3 ? 4 : 7;
    if (i >= length && position >= length - length / 4) document[i] = -1;
  }
  return document;
}

template <typename T>
struct CrossAttention {
  CrossAttention(int64_t n, int64_t m, const AttentionConfig& attention = {})
      : config(SmallConfig({attention})),
        shape{.sequences = B, .length = n, .targets = 1, .key_length = m},
        activations(ctx.device(), DTypeOf<T>()),
        layer(MakeAttention({config, parameters, weights}, /*layer=*/0, "attention")),
        query_rows{B, n, H, e},
        key_rows{B, m, H, e},
        query_document(TwoDocuments(n)),
        key_document(TwoDocuments(m)),
        q(Random<T>(query_rows.count(), 1)),
        k(Random<T>(key_rows.count(), 2)),
        v(Random<T>(key_rows.count(), 3)),
        o(query_rows.count()) {
    BindAlone(*layer, activations, shape);
    parameters.Allocate(ctx, DTypeOf<T>());
  }

  AttentionInput Input() {
    const auto ids = [](const std::vector<int32_t>& values) {
      return Ids(values.data(), {B, static_cast<int64_t>(values.size()) / B});
    };
    return {{On(q, query_rows), ids(query_document)},
            {On(k, key_rows), ids(key_document)},
            On(v, key_rows)};
  }
  std::vector<T> Forward() {
    layer->Forward(ctx, On(o, query_rows), Input(), {});
    return o;
  }
  void Backward(std::vector<T>& d_o) {
    dq.assign(q.size(), 99), dk.assign(k.size(), 99), dv.assign(v.size(), 99);
    layer->Backward(ctx, On(dq, query_rows), On(dk, key_rows), On(dv, key_rows),
                    On(d_o, query_rows), Input(), On(o, query_rows), {});
  }

  Context ctx = Context::Cpu();
  const ModelConfig config;
  const BatchShape shape;
  Parameters parameters;
  WeightGradients weights;
  Activations activations;
  std::unique_ptr<Attention> layer;
  const Shape query_rows, key_rows;
  std::vector<int32_t> query_document, key_document;
  std::vector<T> q, k, v, o, dq, dk, dv;
};

AttentionConfig WithoutDropout() {
  AttentionConfig full;
  full.dropout = 0.0f;
  return full;
}

// The softmax over the keys of the query's document, one by one.
std::vector<double> SlowForward(const CrossAttention<double>& x) {
  const int64_t n = x.query_rows[1], m = x.key_rows[1];
  std::vector<double> o(x.query_rows.count(), 0);
  for (int64_t row = 0; row < B * n * H; ++row) {
    const int64_t b = row / (n * H), i = row / H % n, h = row % H;
    const int32_t document = x.query_document[b * n + i];
    const auto for_each_key = [&](const auto& visit) {
      for (int64_t j = 0; j < m; ++j) {
        if (document < 0 || x.key_document[b * m + j] != document) continue;
        const int64_t key = ((b * m + j) * H + h) * e;
        double score = 0;
        for (int64_t c = 0; c < e; ++c) score += x.q[row * e + c] * x.k[key + c];
        visit(key, std::exp(score / std::sqrt(double{e})));
      }
    };
    double total = 0;
    for_each_key([&](int64_t, double weight) { total += weight; });
    for_each_key([&](int64_t key, double weight) {
      for (int64_t c = 0; c < e; ++c) o[row * e + c] += weight / total * x.v[key + c];
    });
  }
  return o;
}

TEST(CrossAttention, ReadsTheKeysOfAnotherSequence) {
  for (const auto& [n, m] : {std::pair{7, 12}, {12, 7}, {1, 9}, {9, 1}}) {
    SCOPED_TRACE(testing::Message() << n << " queries, " << m << " keys");
    CrossAttention<double> x(n, m, WithoutDropout());
    const std::vector<double> found = x.Forward(), expected = SlowForward(x);
    for (size_t i = 0; i < found.size(); ++i) EXPECT_NEAR(found[i], expected[i], 1e-14) << i;
  }
}

TEST(CrossAttention, BackwardIsTheDerivativeOfForward) {
  for (const auto& [n, m] : {std::pair{5, 9}, {9, 5}}) {
    SCOPED_TRACE(testing::Message() << n << " queries, " << m << " keys");
    CrossAttention<double> x(n, m);  // with dropout
    auto d_o = Random<double>(x.o.size(), 4);
    const auto loss = [&] { return Dot(x.Forward(), d_o); };
    loss();
    x.Backward(d_o);
    ExpectDerivative(loss, x.q, x.dq);
    ExpectDerivative(loss, x.k, x.dk);
    ExpectDerivative(loss, x.v, x.dv);
  }
}

// Over several tiles of each side.  Sums over the keys of a query have weights of sum 1.
TEST(CrossAttention, FloatIsTheReferenceToRounding) {
  for (const auto& [n, m] : {std::pair{210, 500}, {500, 210}}) {
    SCOPED_TRACE(testing::Message() << n << " queries, " << m << " keys");
    CrossAttention<float> fast(n, m);
    CrossAttention<double> exact(n, m);
    exact.q.assign(fast.q.begin(), fast.q.end());
    exact.k.assign(fast.k.begin(), fast.k.end());
    exact.v.assign(fast.v.begin(), fast.v.end());
    auto d_o = Random<float>(fast.o.size(), 4);
    std::vector<double> wide_d_o(d_o.begin(), d_o.end());
    fast.Forward(), exact.Forward();
    fast.Backward(d_o), exact.Backward(wide_d_o);
    const double unit = 64 * std::numeric_limits<float>::epsilon();
    const double of_key = std::sqrt(double(n));  // queries: terms of random sign
    for (size_t i = 0; i < fast.q.size(); ++i) {
      ASSERT_NEAR(fast.o[i], exact.o[i], unit) << i;
      ASSERT_NEAR(fast.dq[i], exact.dq[i], 2 * unit) << i;
    }
    for (size_t i = 0; i < fast.k.size(); ++i) {
      ASSERT_NEAR(fast.dk[i], exact.dk[i], 2 * unit * of_key) << i;
      ASSERT_NEAR(fast.dv[i], exact.dv[i], unit * of_key) << i;
    }
  }
}

}  // namespace

}  // namespace treeformer
