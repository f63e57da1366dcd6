#include "kernels/tree/tf/tf_attention.h"

#include <algorithm>
#include <cmath>
#include <limits>

#include "kernels/runtime/dispatch.h"

namespace treeformer {

namespace reference {
namespace {

// The extents and the pair scores that every function below speaks of.
template <typename T>
struct Heads {
  int64_t B, n, H, e;

  explicit Heads(const Shape& q) : B(q[0]), n(q[1]), H(q[2]), e(q[3]) {}

  int64_t Row(int64_t b, int64_t h, int64_t i) const { return (b * H + h) * n + i; }
  int64_t Offset(int64_t b, int64_t h, int64_t i) const { return ((b * n + i) * H + h) * e; }
  T Product(View<const T> x, View<const T> y, int64_t b, int64_t h, int64_t i, int64_t j) const {
    double sum = 0;
    for (int64_t c = 0; c < e; ++c) {
      sum += static_cast<double>(x[Offset(b, h, i) + c]) * y[Offset(b, h, j) + c];
    }
    return static_cast<T>(sum);
  }
  T Score(View<const T> q, View<const T> k, int64_t b, int64_t h, int64_t i, int64_t j) const {
    return Product(q, k, b, h, i, j) / std::sqrt(static_cast<T>(e));
  }
};

// visit(b, h, i, begin, end): every row i in sorted order with its slots of the other side.
template <typename Visit>
void ForEachRow(Ids order, Ids range, const Visit& visit) {
  const int64_t B = order.shape()[0], H = order.shape()[1], n = order.shape()[2];
  for (int64_t row = 0; row < B * H * n; ++row) {
    const int64_t list = row / n;
    visit(list / H, list % H, order[row], list * n + range[2 * row], list * n + range[2 * row + 1]);
  }
}

// 1 / (1 - rate) where pair (i, j) is kept, 0 where it is dropped.
float Kept(const Dropout& dropout, int64_t row, int64_t n, int64_t j) {
  if (!dropout.enabled()) return 1;
  return dropout.Keeps(row * n + j) ? dropout.scale() : 0;
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
  const Heads<T> at(q.shape());
  Fill<T>(o, 0);
  Fill<T>(lse, -std::numeric_limits<T>::infinity());
  ForEachRow(buckets.query_order, buckets.key_range,
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
                 const T kept = Kept(options.dropout, at.Row(b, h, i), at.n, j);
                 for (int64_t c = 0; c < at.e; ++c) {
                   o[at.Offset(b, h, i) + c] += kept * p * v[at.Offset(b, h, j) + c];
                 }
               }
               lse[at.Row(b, h, i)] = max + std::log(sum);
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
  const Heads<T> at(q.shape());
  const T scale = 1 / std::sqrt(static_cast<T>(at.e));
  for (View<T> gradient : {dq, dk, dv, key_effect}) Fill<T>(gradient, 0);
  ForEachRow(buckets.query_order, buckets.key_range,
             [&](int64_t b, int64_t h, int64_t i, int64_t begin, int64_t end) {
               const int64_t row = at.Row(b, h, i), i_row = at.Offset(b, h, i);
               const T D = delta[row] = at.Product(d_o, o, b, h, i, i);
               for (int64_t s = begin; s < end; ++s) {
                 const int64_t j = buckets.key_order[s], j_row = at.Offset(b, h, j);
                 if (options.causal && j > i) continue;
                 const T p = std::exp(at.Score(q, k, b, h, i, j) - lse[row]);
                 const T kept = Kept(options.dropout, row, at.n, j);
                 const T dP = kept * at.Product(d_o, v, b, h, i, j);
                 const T dS = p * (dP - D);
                 for (int64_t c = 0; c < at.e; ++c) {
                   dq[i_row + c] += scale * dS * k[j_row + c];
                   dk[j_row + c] += scale * dS * q[i_row + c];
                   dv[j_row + c] += kept * p * d_o[i_row + c];
                 }
                 if (key_effect) key_effect[at.Row(b, h, j)] += dS;
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
  const Heads<T> at(q.shape());
  ForEachRow(query_probe.query_order, query_probe.key_range,
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
               const int64_t row = at.Row(b, h, i);
               query_gain[row] = (sum == 0 ? 0 : weighted / sum) - delta[row];
             });
  ForEachRow(key_probe.key_order, key_probe.query_range,
             [&](int64_t b, int64_t h, int64_t j, int64_t begin, int64_t end) {
               T gain = 0;
               for (int64_t s = begin; s < end; ++s) {
                 const int64_t i = key_probe.query_order[s], row = at.Row(b, h, i);
                 if (causal && j > i) continue;
                 const T weight = 1 / (1 + std::exp(lse[row] - at.Score(q, k, b, h, i, j)));
                 gain += weight * (at.Product(d_o, v, b, h, i, j) - delta[row]);
               }
               key_gain[at.Row(b, h, j)] = gain - key_effect[at.Row(b, h, j)];
             });
}

INSTANTIATE_REFERENCE(TfForward)
INSTANTIATE_REFERENCE(TfBackward)
INSTANTIATE_REFERENCE(FlipGains)

namespace {

void CheckRows(std::initializer_list<In> rows, const Shape& shape) {
  for (const In& row : rows) CHECK_EQ(row.shape(), shape);
}

// One side of the buckets: the rows in order and, for each, its slots of the other side.
void CheckSide(Ids order, Ids other_order, Ids range, const Shape& heads) {
  const int64_t B = heads[0], n = heads[1], H = heads[2];
  CHECK_EQ(order.shape(), (Shape{B, H, n}));
  CHECK_EQ(other_order.shape(), (Shape{B, H, n}));
  CHECK_EQ(range.shape(), (Shape{B, H, n, 2}));
}

Shape PerRow(const Shape& heads) { return {heads[0], heads[2], heads[1]}; }

}  // namespace

void TfForward(Context& ctx, Out o, Out lse, const TfOperands& operands) {
  const auto& [q, k, v, buckets, options] = operands;
  CheckRows({o, k, v}, q.shape());
  CheckRows({lse}, PerRow(q.shape()));
  CheckSide(buckets.query_order, buckets.key_order, buckets.key_range, q.shape());
  if (q.count() == 0) return;
  DISPATCH(ctx, q.dtype(), TfForward, o, lse, operands);
}

void TfBackward(Context& ctx, const TfGradients& gradients, In d_o, In o, In lse,
                const TfOperands& operands) {
  const auto& [dq, dk, dv, delta, key_effect] = gradients;
  const auto& [q, k, v, buckets, options] = operands;
  CheckRows({dq, dk, dv, d_o, k, v, o}, q.shape());
  CheckRows({delta, lse}, PerRow(q.shape()));
  if (key_effect) CheckRows({key_effect}, PerRow(q.shape()));
  CheckSide(buckets.query_order, buckets.key_order, buckets.key_range, q.shape());
  CheckSide(buckets.key_order, buckets.query_order, buckets.query_range, q.shape());
  if (q.count() == 0) return;
  DISPATCH(ctx, q.dtype(), TfBackward, gradients, d_o, o, lse, operands);
}

void FlipGains(Context& ctx, Out query_gain, Out key_gain, const FlipOperands& operands) {
  const auto& [d_o, q, k, v, lse, delta, key_effect, query_probe, key_probe, causal] = operands;
  CheckRows({d_o, k, v}, q.shape());
  CheckRows({query_gain, key_gain, lse, delta, key_effect}, PerRow(q.shape()));
  CheckSide(query_probe.query_order, query_probe.key_order, query_probe.key_range, q.shape());
  CheckSide(key_probe.key_order, key_probe.query_order, key_probe.query_range, q.shape());
  if (q.count() == 0) return;
  DISPATCH(ctx, q.dtype(), FlipGains, query_gain, key_gain, operands);
}

}  // namespace treeformer
