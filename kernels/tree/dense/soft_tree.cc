#include "kernels/tree/dense/soft_tree.h"

#include <algorithm>
#include <cmath>

#include "kernels/runtime/dispatch.h"
#include "kernels/tree/tf/binary_heap.h"

namespace treeformer {

template <typename T>
void reference::SoftTreeBackward(Context&, const RouterGradients& gradients, In effect_any,
                                 const RouterOperands& router, In strength_any, Ids leaf) {
  const View<T> dweight = gradients.dweight, dbias = gradients.dbias, dx = gradients.dx;
  const View<const T> x = router.x, weight = router.weight, bias = router.bias;
  const View<const T> effect = effect_any, strength = strength_any;
  const TreeShape& shape = router.shape;
  const int64_t B = x.shape()[0], n = x.shape()[1], x_heads = x.shape()[2], E = x.shape()[3];
  const int64_t H = weight.shape()[0], P = shape.planes(), L = shape.leaves();
  const int64_t effect_rows = effect.shape()[2];
  std::vector<double> f(P), pi(P + L), G(P + L);
  std::vector<char> right(P);
  for (int64_t b = 0; b < B; ++b) {
    for (int64_t i = 0; i < n; ++i) {
      for (int64_t h = 0; h < H; ++h) {
        const int64_t row = (b * H + h) * n + i;
        if (!PassesGradient(leaf[row], strength[row])) continue;
        const int64_t x_row = ((b * n + i) * x_heads + (x_heads == 1 ? 0 : h)) * E;
        for (int64_t t = 0; t < P; ++t) {
          f[t] = bias[h * P + t];
          for (int64_t c = 0; c < E; ++c) {
            f[t] += static_cast<double>(weight[(h * P + t) * E + c]) * x[x_row + c];
          }
          right[t] = f[t] > 0;
        }
        for (int64_t t = P + leaf[row]; t > 0; t = Parent(t)) right[Parent(t)] = IsRightChild(t);

        const double s = strength[row];
        pi[0] = 1;
        for (int64_t t = 0; t < P; ++t) {
          const double to_right = 1 / (1 + std::exp(right[t] ? -2 * s : 2 * s));
          pi[LeftChild(t)] = pi[t] * (1 - to_right);
          pi[RightChild(t)] = pi[t] * to_right;
        }
        const int64_t effect_row = (b * H + h) * effect_rows + (effect_rows == 1 ? 0 : i);
        for (int64_t m = 0; m < L; ++m) G[P + m] = pi[P + m] * effect[effect_row * L + m];
        for (int64_t t = P - 1; t >= 0; --t) G[t] = G[LeftChild(t)] + G[RightChild(t)];

        for (int64_t t = 0; t < P; ++t) {
          if (!(std::abs(f[t]) <= 1)) continue;
          const double da = s * ((G[RightChild(t)] - G[LeftChild(t)]) -
                                 G[0] * (pi[RightChild(t)] - pi[LeftChild(t)]));
          const double df = 2 * da;
          dbias[h * P + t] += df;
          for (int64_t c = 0; c < E; ++c) {
            dweight[(h * P + t) * E + c] += df * x[x_row + c];
            dx[x_row + c] += df * weight[(h * P + t) * E + c];
          }
        }
      }
    }
  }
}

template <typename T>
void reference::BalanceEffect(Context&, Out effect_any, Ids leaf, float weight) {
  const View<T> effect = effect_any;
  const int64_t trees = leaf.shape()[0] * leaf.shape()[1], n = leaf.shape()[2];
  const int64_t L = effect.shape()[3];
  for (int64_t tree = 0; tree < trees; ++tree) {
    std::vector<int64_t> count(L);
    int64_t rows = 0;
    for (int64_t i = 0; i < n; ++i) {
      if (leaf[tree * n + i] < 0) continue;
      ++count[leaf[tree * n + i]];
      ++rows;
    }
    for (int64_t m = 0; m < L; ++m) {
      const double share = rows == 0 ? 0 : static_cast<double>(count[m]) / rows;
      effect[tree * L + m] = rows == 0 ? 0 : weight * L * share / rows;
    }
  }
}

INSTANTIATE_REFERENCE(SoftTreeBackward)
INSTANTIATE_REFERENCE(BalanceEffect)

void SoftTreeBackward(Context& ctx, const RouterGradients& gradients, In effect,
                      const RouterOperands& router, In strength, Ids leaf) {
  const auto& [x, weight, bias, shape] = router;
  CHECK(shape.binary) << "the dense gradient is defined for binary trees";
  CHECK_EQ(x.shape().rank(), 4);
  const int64_t B = x.shape()[0], n = x.shape()[1], x_heads = x.shape()[2], E = x.shape()[3];
  const int64_t H = weight.shape()[0], P = shape.planes(), L = shape.leaves();
  CHECK(x_heads == 1 || x_heads == H) << x_heads << " heads of x, " << H << " of the tree";
  CHECK_EQ(weight.shape(), (Shape{H, P, E}));
  CHECK_EQ(bias.shape(), (Shape{H, P}));
  CHECK_EQ(gradients.dweight.shape(), weight.shape());
  CHECK_EQ(gradients.dbias.shape(), bias.shape());
  CHECK_EQ(gradients.dx.shape(), x.shape());
  CHECK_EQ(effect.shape(), (Shape{B, H, effect.shape()[2] == 1 ? 1 : n, L}));
  CHECK_EQ(strength.shape(), (Shape{B, H, n}));
  CHECK_EQ(leaf.shape(), (Shape{B, H, n}));
  if (leaf.count() == 0 || P == 0) return;
  DISPATCH(ctx, x.dtype(), SoftTreeBackward, gradients, effect, router, strength, leaf);
}

void BalanceEffect(Context& ctx, Out effect, Ids leaf, float weight) {
  CHECK_EQ(leaf.shape().rank(), 3);
  CHECK_EQ(effect.shape(), (Shape{leaf.shape()[0], leaf.shape()[1], 1, effect.shape()[3]}));
  if (effect.count() == 0) return;
  DISPATCH(ctx, effect.dtype(), BalanceEffect, effect, leaf, weight);
}

}  // namespace treeformer
