#pragma once

// One random attention problem with routing, as host vectors, and its run on any back end in
// float32 or (on the CPU, the reference) float64.

#include "kernels/tree/tf/tf_attention.h"
#include "tests/kernels/tree/tree_testing.h"

namespace treeformer::tree_testing {

struct CaseSize {
  int64_t B, H, n, e;
  int leaves = 1;
  int documents = 1;
  bool padding = false;
};

// Values are in [-1, 1] and exactly representable in float32, so that both types see the same.
struct AttentionCase {
  CaseSize size;
  std::vector<double> q, k, v, d_o;
  std::vector<int32_t> query_leaf, key_leaf, query_other, key_other;  // own and alternative leaves
  std::vector<int32_t> document;
  AttentionOptions options;
  int64_t reach = -1;  // of a window: positions to either side; -1: all

  explicit AttentionCase(const CaseSize& case_size) : size(case_size) {
    const auto [B, H, n, e, leaves, documents, padding] = size;
    const auto random = [&](unsigned seed) {
      return Converted<double>(testing_util::Random<float>(B * H * n * e, seed));
    };
    q = random(1), k = random(2), v = random(3), d_o = random(4);
    document = Documents(B, n, documents, padding);
    unsigned seed = 5;
    for (auto* leaf : {&query_leaf, &key_leaf, &query_other, &key_other}) {
      *leaf = RandomLeaves(B * H * n, leaves, seed++);
      MaskLeaves(*leaf, document, H, n);
    }
  }

  Shape rows() const { return {size.B, size.n, size.H, size.e}; }
  Shape lists() const { return {size.B, size.H, size.n}; }
  int64_t Row(int64_t b, int64_t h, int64_t i) const { return (b * size.H + h) * size.n + i; }
  int64_t Offset(int64_t b, int64_t h, int64_t i) const {
    return ((b * size.n + i) * size.H + h) * size.e;
  }
  BucketStore Store(Context& ctx, const std::vector<int32_t>& queries,
                    const std::vector<int32_t>& keys) const {
    BucketStore store(ctx, queries, keys, document, size.B, size.H, size.n, size.leaves);
    if (reach >= 0) store.Narrow(ctx, reach);
    return store;
  }
  // Whether query i in leaf `query` attends key j in leaf `key`: the definition.
  bool Sees(int64_t b, int64_t i, int32_t query, int64_t j, int32_t key) const {
    const int32_t of_i = document[b * size.n + i], of_j = document[b * size.n + j];
    return of_i >= 0 && of_i == of_j && query >= 0 && query == key && (!options.causal || j <= i) &&
           (reach < 0 || std::abs(i - j) <= reach);
  }
  double Dot(const std::vector<double>& x, const std::vector<double>& y, int64_t b, int64_t h,
             int64_t i, int64_t j) const {
    double sum = 0;
    for (int64_t c = 0; c < size.e; ++c) sum += x[Offset(b, h, i) + c] * y[Offset(b, h, j) + c];
    return sum;
  }
  double Score(int64_t b, int64_t h, int64_t i, int64_t j) const {
    return Dot(q, k, b, h, i, j) / std::sqrt(static_cast<double>(size.e));
  }
};

template <typename T>
struct AttentionResult {
  std::vector<T> o, lse, dq, dk, dv, delta, key_effect, query_gain, key_gain;
};

// Forward, and unless `forward_only` backward and FLIP's gains.
template <typename T>
AttentionResult<T> RunAttention(Context& ctx, const AttentionCase& c, bool forward_only = false) {
  const auto upload = [&](const std::vector<double>& x) {
    return Upload(ctx, Converted<T>(x), c.rows());
  };
  const auto rows = [&] { return Buffer(ctx.device(), DTypeOf<T>(), c.rows()); };
  const auto lists = [&] { return Buffer(ctx.device(), DTypeOf<T>(), c.lists()); };
  const Buffer q = upload(c.q), k = upload(c.k), v = upload(c.v), d_o = upload(c.d_o);
  const BucketStore own = c.Store(ctx, c.query_leaf, c.key_leaf);
  const Buffer o = rows(), dq = rows(), dk = rows(), dv = rows();
  const Buffer lse = lists(), delta = lists(), effect = lists();
  const Buffer query_gain = lists(), key_gain = lists();

  const TfOperands operands{q, k, v, own.buckets(), c.options};
  TfForward(ctx, o, lse, operands);
  if (!forward_only) {
    TfBackward(ctx, {dq, dk, dv, delta, effect}, d_o, o, lse, operands);
    const BucketStore query_probe = c.Store(ctx, c.query_other, c.key_leaf);
    const BucketStore key_probe = c.Store(ctx, c.query_leaf, c.key_other);
    FlipGains(ctx, query_gain, key_gain,
              {d_o, q, k, v, lse, delta, effect, query_probe.buckets(), key_probe.buckets(),
               c.options.causal});
  }
  const auto get = [&](const Buffer& buffer) { return Download<T>(ctx, buffer); };
  return {get(o),     get(lse),    get(dq),         get(dk),      get(dv),
          get(delta), get(effect), get(query_gain), get(key_gain)};
}

}  // namespace treeformer::tree_testing
