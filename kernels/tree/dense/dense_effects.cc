#include "kernels/tree/dense/dense_effects.h"

#include <algorithm>
#include <cmath>

#include "kernels/runtime/dispatch.h"

namespace treeformer {

namespace reference {
namespace {

double Weight(double score, double lse, bool in_leaf, const DenseOptions& options) {
  switch (options.terms) {
    case DenseTerms::kClamped:
      return std::min(std::exp(score - lse), static_cast<double>(options.clamp));
    case DenseTerms::kBounded:
      return in_leaf ? std::exp(score - lse) : 1 / (1 + std::exp(lse - score));
    case DenseTerms::kInLeaf:
      return in_leaf ? std::exp(score - lse) : 0;
  }
  LOG(FATAL) << "unknown terms";
}

}  // namespace
}  // namespace reference

template <typename T>
void reference::DenseLeafEffects(Context&, Out query_effect_any, Out key_effect_any,
                                 const DenseOperands& operands) {
  const View<T> query_effect = query_effect_any, key_effect = key_effect_any;
  const View<const T> d_o = operands.d_o, q = operands.q, k = operands.k, v = operands.v;
  const View<const T> lse = operands.lse, delta = operands.delta;
  const Ids query_leaf = operands.query_leaf, key_leaf = operands.key_leaf;
  const Ids document = operands.document;
  const DenseOptions& options = operands.options;
  const int64_t B = q.shape()[0], n = q.shape()[1], H = q.shape()[2], e = q.shape()[3];
  const int64_t L = query_effect.shape()[3];
  const double scale = 1 / std::sqrt(static_cast<double>(e));
  std::fill_n(query_effect.data(), query_effect.count(), T{0});
  std::fill_n(key_effect.data(), key_effect.count(), T{0});
  for (int64_t b = 0; b < B; ++b) {
    for (int64_t h = 0; h < H; ++h) {
      const auto product = [&](View<const T> x, int64_t i, View<const T> y, int64_t j) {
        double sum = 0;
        for (int64_t c = 0; c < e; ++c) {
          sum += static_cast<double>(x[((b * n + i) * H + h) * e + c]) *
                 y[((b * n + j) * H + h) * e + c];
        }
        return sum;
      };
      const int64_t rows = (b * H + h) * n;  // the row of position i is rows + i
      for (int64_t i = 0; i < n; ++i) {
        if (document[b * n + i] < 0) continue;
        const auto paired = [&](int64_t j) {
          return document[b * n + j] == document[b * n + i] && (!options.causal || j <= i);
        };
        double L_i = lse[rows + i];
        if (L_i == -INFINITY) {  // the own leaf holds no key
          double sum = 0;
          for (int64_t j = 0; j < n; ++j) {
            if (paired(j)) sum += std::exp(product(q, i, k, j) * scale);
          }
          L_i = std::log(sum);
        }
        for (int64_t j = 0; j < n; ++j) {
          if (!paired(j)) continue;
          const int32_t own = query_leaf[rows + i], other = key_leaf[rows + j];
          const double weight = Weight(product(q, i, k, j) * scale, L_i, own == other, options);
          const double X = weight * (product(d_o, i, v, j) - delta[rows + i]);
          query_effect[(rows + i) * L + other] += X;
          key_effect[(rows + j) * L + own] += X;
        }
      }
    }
  }
}

INSTANTIATE_REFERENCE(DenseLeafEffects)

void DenseLeafEffects(Context& ctx, Out query_effect, Out key_effect,
                      const DenseOperands& operands) {
  const auto& [d_o, q, k, v, lse, delta, query_leaf, key_leaf, document, options] = operands;
  CHECK_EQ(q.shape().rank(), 4);
  const int64_t B = q.shape()[0], n = q.shape()[1], H = q.shape()[2];
  const Shape rows{B, H, n};
  CHECK_EQ(query_effect.shape(), (Shape{B, H, n, query_effect.shape()[3]}));
  CHECK_EQ(key_effect.shape(), query_effect.shape());
  CHECK_EQ(k.shape(), q.shape());
  CHECK_EQ(v.shape(), q.shape());
  CHECK_EQ(d_o.shape(), q.shape());
  CHECK_EQ(lse.shape(), rows);
  CHECK_EQ(delta.shape(), rows);
  CHECK_EQ(query_leaf.shape(), rows);
  CHECK_EQ(key_leaf.shape(), rows);
  CHECK_EQ(document.shape(), (Shape{B, n}));
  CHECK_GT(options.clamp, 0);
  if (query_effect.count() == 0) return;
  DISPATCH(ctx, q.dtype(), DenseLeafEffects, query_effect, key_effect, operands);
}

}  // namespace treeformer
