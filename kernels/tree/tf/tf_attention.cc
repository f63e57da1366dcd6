#include "kernels/tree/tf/tf_attention.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/runtime/dispatch.h"

namespace treeformer {

namespace reference {
namespace {

// The extents of one side.
struct Heads {
  int64_t B, n, H, e;

  explicit Heads(const Shape& x) : B(x[0]), n(x[1]), H(x[2]), e(x[3]) {}

  int64_t Row(int64_t b, int64_t h, int64_t i) const { return (b * H + h) * n + i; }
  int64_t Offset(int64_t b, int64_t h, int64_t i) const { return ((b * n + i) * H + h) * e; }
};

template <typename T>
T Product(const T* x, const T* y, int64_t e) {
  double sum = 0;
  for (int64_t c = 0; c < e; ++c) sum += static_cast<double>(x[c]) * y[c];
  return static_cast<T>(sum);
}

// Products of the rows of query i and key j.
template <typename T>
struct Pairs {
  Heads queries, keys;

  Pairs(const Shape& q, const Shape& k) : queries(q), keys(k) {}

  T Product(View<const T> x, View<const T> y, int64_t b, int64_t h, int64_t i, int64_t j) const {
    return reference::Product<T>(x.data() + queries.Offset(b, h, i),
                                 y.data() + keys.Offset(b, h, j), queries.e);
  }
  T Score(View<const T> q, View<const T> k, int64_t b, int64_t h, int64_t i, int64_t j) const {
    return Product(q, k, b, h, i, j) / std::sqrt(static_cast<T>(queries.e));
  }
};

// visit(b, h, i, begin, end): every row i in sorted order with its slots of the other side.
template <typename Visit>
void ForEachRow(Ids order, Ids range, Ids other_order, const Visit& visit) {
  const int64_t B = order.shape()[0], H = order.shape()[1], n = order.shape()[2];
  const int64_t m = other_order.shape()[2];
  for (int64_t row = 0; row < B * H * n; ++row) {
    const int64_t list = row / n;
    visit(list / H, list % H, order[row], list * m + range[2 * row], list * m + range[2 * row + 1]);
  }
}

// 1 / (1 - rate) where pair (i, j) is kept, 0 where it is dropped.
float Kept(const Dropout& dropout, int64_t row, int64_t keys, int64_t j) {
  if (!dropout.enabled()) return 1;
  return dropout.Keeps(row * keys + j) ? dropout.scale() : 0;
}

template <typename T>
void Fill(View<T> view, T value) {
  if (view) std::fill(view.data(), view.data() + view.count(), value);
}

}  // namespace
}  // namespace reference

template <typename T>
void reference::TfForward(Context&, Out o_any, Out lse_any, const TfOperands& operands) {
  const View<T> o = o_any, lse = lse_any;
  const View<const T> q = operands.q, k = operands.k, v = operands.v;
  const Buckets& buckets = operands.buckets;
  const AttentionOptions& options = operands.options;
  const Pairs<T> at(q.shape(), k.shape());
  Fill<T>(o, 0);
  Fill<T>(lse, -std::numeric_limits<T>::infinity());
  ForEachRow(buckets.query_order, buckets.key_range, buckets.key_order,
             [&](int64_t b, int64_t h, int64_t i, int64_t begin, int64_t end) {
               const auto visible = [&](int64_t j) { return !options.causal || j <= i; };
               T max = -std::numeric_limits<T>::infinity();
               for (int64_t s = begin; s < end; ++s) {
                 const int64_t j = buckets.key_order[s];
                 if (visible(j)) max = std::max(max, at.Score(q, k, b, h, i, j));
               }
               T sum = 0;
               for (int64_t s = begin; s < end; ++s) {
                 const int64_t j = buckets.key_order[s];
                 if (visible(j)) sum += std::exp(at.Score(q, k, b, h, i, j) - max);
               }
               if (sum == 0) return;  // no key
               for (int64_t s = begin; s < end; ++s) {
                 const int64_t j = buckets.key_order[s];
                 if (!visible(j)) continue;
                 const T p = std::exp(at.Score(q, k, b, h, i, j) - max) / sum;
                 const T kept = Kept(options.dropout, at.queries.Row(b, h, i), at.keys.n, j);
                 for (int64_t c = 0; c < at.queries.e; ++c) {
                   o[at.queries.Offset(b, h, i) + c] += kept * p * v[at.keys.Offset(b, h, j) + c];
                 }
               }
               lse[at.queries.Row(b, h, i)] = max + std::log(sum);
             });
}

template <typename T>
void reference::TfBackward(Context&, const TfGradients& gradients, In d_o_any, In o_any, In lse_any,
                           const TfOperands& operands) {
  const View<T> dq = gradients.dq, dk = gradients.dk, dv = gradients.dv;
  const View<T> delta = gradients.delta, key_effect = gradients.key_effect;
  const View<const T> d_o = d_o_any, o = o_any, lse = lse_any;
  const View<const T> q = operands.q, k = operands.k, v = operands.v;
  const Buckets& buckets = operands.buckets;
  const AttentionOptions& options = operands.options;
  const Pairs<T> at(q.shape(), k.shape());
  const T scale = 1 / std::sqrt(static_cast<T>(at.queries.e));
  for (View<T> gradient : {dq, dk, dv, key_effect}) Fill<T>(gradient, 0);
  ForEachRow(buckets.query_order, buckets.key_range, buckets.key_order,
             [&](int64_t b, int64_t h, int64_t i, int64_t begin, int64_t end) {
               const int64_t row = at.queries.Row(b, h, i), i_row = at.queries.Offset(b, h, i);
               const T D = delta[row] =
                   Product<T>(d_o.data() + i_row, o.data() + i_row, at.queries.e);
               for (int64_t s = begin; s < end; ++s) {
                 const int64_t j = buckets.key_order[s], j_row = at.keys.Offset(b, h, j);
                 if (options.causal && j > i) continue;
                 const T p = std::exp(at.Score(q, k, b, h, i, j) - lse[row]);
                 const T kept = Kept(options.dropout, row, at.keys.n, j);
                 const T dP = kept * at.Product(d_o, v, b, h, i, j);
                 const T dS = p * (dP - D);
                 for (int64_t c = 0; c < at.queries.e; ++c) {
                   dq[i_row + c] += scale * dS * k[j_row + c];
                   dk[j_row + c] += scale * dS * q[i_row + c];
                   dv[j_row + c] += kept * p * d_o[i_row + c];
                 }
                 if (key_effect) key_effect[at.keys.Row(b, h, j)] += dS;
               }
             });
}

template <typename T>
void reference::FlipGains(Context&, Out query_gain_any, Out key_gain_any,
                          const FlipOperands& operands) {
  const View<T> query_gain = query_gain_any, key_gain = key_gain_any;
  const View<const T> d_o = operands.d_o, q = operands.q, k = operands.k, v = operands.v;
  const View<const T> lse = operands.lse, delta = operands.delta, key_effect = operands.key_effect;
  const Buckets &query_probe = operands.query_probe, &key_probe = operands.key_probe;
  const bool causal = operands.causal;
  const Pairs<T> at(q.shape(), k.shape());
  ForEachRow(query_probe.query_order, query_probe.key_range, query_probe.key_order,
             [&](int64_t b, int64_t h, int64_t i, int64_t begin, int64_t end) {
               T max = -std::numeric_limits<T>::infinity(), sum = 0, weighted = 0;
               const auto for_each_key = [&](const auto& visit) {
                 for (int64_t s = begin; s < end; ++s) {
                   const int64_t j = query_probe.key_order[s];
                   if (!causal || j <= i) visit(j);
                 }
               };
               for_each_key([&](int64_t j) { max = std::max(max, at.Score(q, k, b, h, i, j)); });
               for_each_key([&](int64_t j) {
                 const T weight = std::exp(at.Score(q, k, b, h, i, j) - max);
                 sum += weight;
                 weighted += weight * at.Product(d_o, v, b, h, i, j);
               });
               const int64_t row = at.queries.Row(b, h, i);
               query_gain[row] = (sum == 0 ? 0 : weighted / sum) - delta[row];
             });
  ForEachRow(key_probe.key_order, key_probe.query_range, key_probe.query_order,
             [&](int64_t b, int64_t h, int64_t j, int64_t begin, int64_t end) {
               T gain = 0;
               for (int64_t s = begin; s < end; ++s) {
                 const int64_t i = key_probe.query_order[s], row = at.queries.Row(b, h, i);
                 if (causal && j > i) continue;
                 const T weight = 1 / (1 + std::exp(lse[row] - at.Score(q, k, b, h, i, j)));
                 gain += weight * (at.Product(d_o, v, b, h, i, j) - delta[row]);
               }
               key_gain[at.keys.Row(b, h, j)] = gain - key_effect[at.keys.Row(b, h, j)];
             });
}

INSTANTIATE_REFERENCE(TfForward)
INSTANTIATE_REFERENCE(TfBackward)
INSTANTIATE_REFERENCE(FlipGains)

namespace {

void CheckRows(std::initializer_list<In> rows, const Shape& shape) {
  for (const In& row : rows) CHECK_EQ(row.shape(), shape);
}

Shape PerRow(const Shape& heads) { return {heads[0], heads[2], heads[1]}; }

// Both sides in order and, for each row of one of them, its slots of the other.
void CheckSide(Ids order, Ids other_order, Ids range, const Shape& heads,
               const Shape& other_heads) {
  CHECK_EQ(order.shape(), PerRow(heads));
  CHECK_EQ(other_order.shape(), PerRow(other_heads));
  CHECK_EQ(range.shape(), (Shape{heads[0], heads[2], heads[1], 2}));
}

// Keys may be more or fewer than queries.
void CheckKeys(const Shape& k, const Shape& q) { CHECK_EQ(k, (Shape{q[0], k[1], q[2], q[3]})); }

}  // namespace

void TfForward(Context& ctx, Out o, Out lse, const TfOperands& operands) {
  const auto& [q, k, v, buckets, options] = operands;
  CheckKeys(k.shape(), q.shape());
  CheckRows({o}, q.shape());
  CheckRows({v}, k.shape());
  CheckRows({lse}, PerRow(q.shape()));
  CheckSide(buckets.query_order, buckets.key_order, buckets.key_range, q.shape(), k.shape());
  if (q.count() == 0) return;
  DISPATCH(ctx, q.dtype(), TfForward, o, lse, operands);
}

void TfBackward(Context& ctx, const TfGradients& gradients, In d_o, In o, In lse,
                const TfOperands& operands) {
  const auto& [dq, dk, dv, delta, key_effect] = gradients;
  const auto& [q, k, v, buckets, options] = operands;
  CheckKeys(k.shape(), q.shape());
  CheckRows({dq, d_o, o}, q.shape());
  CheckRows({dk, dv, v}, k.shape());
  CheckRows({delta, lse}, PerRow(q.shape()));
  if (key_effect) CheckRows({key_effect}, PerRow(k.shape()));
  CheckSide(buckets.query_order, buckets.key_order, buckets.key_range, q.shape(), k.shape());
  CheckSide(buckets.key_order, buckets.query_order, buckets.query_range, k.shape(), q.shape());
  if (q.count() == 0 && k.count() == 0) return;
  DISPATCH(ctx, q.dtype(), TfBackward, gradients, d_o, o, lse, operands);
}

void FlipGains(Context& ctx, Out query_gain, Out key_gain, const FlipOperands& operands) {
  const auto& [d_o, q, k, v, lse, delta, key_effect, query_probe, key_probe, causal] = operands;
  CheckRows({d_o, k, v}, q.shape());  // of one sequence
  CheckRows({query_gain, key_gain, lse, delta, key_effect}, PerRow(q.shape()));
  CheckSide(query_probe.query_order, query_probe.key_order, query_probe.key_range, q.shape(),
            k.shape());
  CheckSide(key_probe.key_order, key_probe.query_order, key_probe.query_range, k.shape(),
            q.shape());
  if (q.count() == 0) return;
  DISPATCH(ctx, q.dtype(), FlipGains, query_gain, key_gain, operands);
}

}  // namespace treeformer
