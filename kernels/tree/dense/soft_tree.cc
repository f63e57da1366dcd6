#include "kernels/tree/dense/soft_tree.h"

#include <algorithm>
#include <cmath>

#include "kernels/runtime/dispatch.h"
#include "kernels/tree/tf/binary_heap.h"

namespace treeformer {

namespace reference {

template <typename T>
void SoftTreeBackward(View<T> dweight, View<T> dbias, View<T> dx, View<const T> effect,
                      View<const T> x, View<const T> weight, View<const T> bias,
                      View<const T> strength, Ids leaf, const TreeShape& shape) {
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
void BalanceEffect(View<T> effect, Ids leaf, float weight) {
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

#define INSTANTIATE(T)                                                                       \
  template void SoftTreeBackward<T>(View<T>, View<T>, View<T>, View<const T>, View<const T>, \
                                    View<const T>, View<const T>, View<const T>, Ids,        \
                                    const TreeShape&);                                       \
  template void BalanceEffect<T>(View<T>, Ids, float);
INSTANTIATE(float)
INSTANTIATE(double)
#undef INSTANTIATE

}  // namespace reference

namespace cpu {  // soft_tree_cpu.cc
void SoftTreeBackward(Context& ctx, Acc dweight, Acc dbias, Acc dx, In effect, In x, In weight,
                      In bias, In strength, Ids leaf, const TreeShape& shape);
// One pass over the ids: the reference is fast enough.
void BalanceEffect(Context&, Out effect, Ids leaf, float weight) {
  reference::BalanceEffect<float>(effect, leaf, weight);
}
}  // namespace cpu

namespace cuda {  // soft_tree.cu
void SoftTreeBackward(Context& ctx, Acc dweight, Acc dbias, Acc dx, In effect, In x, In weight,
                      In bias, In strength, Ids leaf, const TreeShape& shape);
void BalanceEffect(Context& ctx, Out effect, Ids leaf, float weight);
}  // namespace cuda

void SoftTreeBackward(Context& ctx, Acc dweight, Acc dbias, Acc dx, In effect, In x, In weight,
                      In bias, In strength, Ids leaf, const TreeShape& shape) {
  CHECK(shape.binary) << "the dense gradient is defined for binary trees";
  CHECK_EQ(x.shape().rank(), 4);
  const int64_t B = x.shape()[0], n = x.shape()[1], x_heads = x.shape()[2], E = x.shape()[3];
  const int64_t H = weight.shape()[0], P = shape.planes(), L = shape.leaves();
  CHECK(x_heads == 1 || x_heads == H) << x_heads << " heads of x, " << H << " of the tree";
  CHECK_EQ(weight.shape(), (Shape{H, P, E}));
  CHECK_EQ(bias.shape(), (Shape{H, P}));
  CHECK_EQ(dweight.shape(), weight.shape());
  CHECK_EQ(dbias.shape(), bias.shape());
  CHECK_EQ(dx.shape(), x.shape());
  CHECK_EQ(effect.shape(), (Shape{B, H, effect.shape()[2] == 1 ? 1 : n, L}));
  CHECK_EQ(strength.shape(), (Shape{B, H, n}));
  CHECK_EQ(leaf.shape(), (Shape{B, H, n}));
  if (leaf.count() == 0 || P == 0) return;
  DISPATCH(ctx, x.dtype(), SoftTreeBackward, dweight, dbias, dx, effect, x, weight, bias, strength,
           leaf, shape);
}

void BalanceEffect(Context& ctx, Out effect, Ids leaf, float weight) {
  CHECK_EQ(leaf.shape().rank(), 3);
  CHECK_EQ(effect.shape(), (Shape{leaf.shape()[0], leaf.shape()[1], 1, effect.shape()[3]}));
  if (effect.count() == 0) return;
  DISPATCH(ctx, effect.dtype(), BalanceEffect, effect, leaf, weight);
}

}  // namespace treeformer
