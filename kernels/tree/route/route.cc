#include "kernels/tree/route/route.h"

#include "kernels/runtime/dispatch.h"
#include "kernels/tree/route/flip.h"
#include "kernels/tree/route/walk.h"

namespace treeformer {

namespace reference {

template <typename T>
void Route(const Routing& routing, View<const T> x, View<const T> weight, View<const T> bias,
           Ids document, const TreeShape& shape, const FlipRule& rule) {
  const int64_t B = x.shape()[0], n = x.shape()[1], E = x.shape()[3];
  const int64_t H = bias.shape()[0], P = bias.shape()[1], x_heads = x.shape()[2];
  const TreeWalk walk(shape);
  for (int64_t b = 0; b < B; ++b) {
    for (int64_t h = 0; h < H; ++h) {
      for (int64_t i = 0; i < n; ++i) {
        const int64_t row = (b * H + h) * n + i;
        if (document[b * n + i] < 0) {
          StorePadding<T>(routing, row);
          continue;
        }
        const T* x_i = x.data() + ((b * n + i) * x_heads + (x_heads == 1 ? 0 : h)) * E;
        const auto score = [&](int64_t plane) {
          const T* w = weight.data() + (h * P + plane) * E;
          double sum = 0;
          for (int64_t c = 0; c < E; ++c) sum += static_cast<double>(w[c]) * x_i[c];
          return static_cast<T>(sum + bias[h * P + plane]);
        };
        StorePath<T>(routing, row,
                     walk.Walk<T>(score, FlipLevel(rule, shape.height(), row),
                                  static_cast<bool>(routing.alternative)));
      }
    }
  }
}

template <typename T>
void FlipBackward(View<T> dweight, View<T> dbias, View<T> dx, View<const T> gain, View<const T> x,
                  View<const T> weight, const FlipDecisions& decisions, const TreeShape& shape,
                  float tau) {
  const int64_t B = x.shape()[0], n = x.shape()[1], x_heads = x.shape()[2], E = x.shape()[3];
  const int64_t H = weight.shape()[0], P = weight.shape()[1];
  const View<const T> margin = decisions.margin;
  for (int64_t b = 0; b < B; ++b) {
    for (int64_t i = 0; i < n; ++i) {
      for (int64_t h = 0; h < H; ++h) {
        const int64_t row = (b * H + h) * n + i;
        const int64_t x_row = ((b * n + i) * x_heads + (x_heads == 1 ? 0 : h)) * E;
        const auto add = [&](int64_t plane, T df) {
          dbias[h * P + plane] += df;
          for (int64_t c = 0; c < E; ++c) {
            dweight[(h * P + plane) * E + c] += df * x[x_row + c];
            dx[x_row + c] += df * weight[(h * P + plane) * E + c];
          }
        };
        const int64_t own = decisions.own_plane[row], other = decisions.other_plane[row];
        if (own < 0) continue;
        const T df = FlipSlope(margin[row], static_cast<T>(tau)) * gain[row];
        if (shape.binary) {
          add(own, margin[row] > 0 ? -df : df);
        } else {
          add(own, -df);
          add(other, df);
        }
      }
    }
  }
}

#define INSTANTIATE(T)                                                                     \
  template void Route<T>(const Routing&, View<const T>, View<const T>, View<const T>, Ids, \
                         const TreeShape&, const FlipRule&);                               \
  template void FlipBackward<T>(View<T>, View<T>, View<T>, View<const T>, View<const T>,   \
                                View<const T>, const FlipDecisions&, const TreeShape&, float);
INSTANTIATE(float)
INSTANTIATE(double)
#undef INSTANTIATE

}  // namespace reference

namespace cpu {  // route_cpu.cc, flip_backward_cpu.cc
void Route(Context& ctx, const Routing& routing, In x, In weight, In bias, Ids document,
           const TreeShape& shape, const FlipRule& rule);
void FlipBackward(Context& ctx, Acc dweight, Acc dbias, Acc dx, In gain, In x, In weight,
                  const FlipDecisions& decisions, const TreeShape& shape, float tau);
}  // namespace cpu

namespace cuda {  // route.cu
void Route(Context& ctx, const Routing& routing, In x, In weight, In bias, Ids document,
           const TreeShape& shape, const FlipRule& rule);
void FlipBackward(Context& ctx, Acc dweight, Acc dbias, Acc dx, In gain, In x, In weight,
                  const FlipDecisions& decisions, const TreeShape& shape, float tau);
}  // namespace cuda

namespace {

void CheckTree(const TreeShape& shape, In x, In weight) {
  for (int children : shape.branching) {
    CHECK(shape.binary ? children == 2 : children >= 2) << "branching " << children;
  }
  CHECK_EQ(x.shape().rank(), 4);
  const int64_t H = weight.shape()[0], x_heads = x.shape()[2];
  CHECK_EQ(weight.shape(), (Shape{H, shape.planes(), x.shape()[3]}));
  CHECK(x_heads == 1 || x_heads == H) << x_heads << " heads of x, " << H << " of the tree";
}

template <typename AnyOrTypedView>
void CheckShape(const AnyOrTypedView& view, const Shape& shape) {
  CHECK_EQ(view.shape(), shape);
}

}  // namespace

void Route(Context& ctx, const Routing& routing, In x, In weight, In bias, Ids document,
           const TreeShape& shape, const FlipRule& rule) {
  CheckTree(shape, x, weight);
  const int64_t B = x.shape()[0], n = x.shape()[1], H = weight.shape()[0];
  const Shape rows{B, H, n};
  CheckShape(bias, {H, shape.planes()});
  CheckShape(document, {B, n});
  if (rows.count() == 0) return;
  CheckShape(routing.leaf, rows);
  if (routing.strength) CheckShape(routing.strength, rows);
  if (routing.alternative) {
    CheckShape(routing.alternative, rows);
    CheckShape(routing.own_plane, rows);
    CheckShape(routing.other_plane, rows);
    CheckShape(routing.margin, rows);
  } else {
    CHECK(!routing.own_plane && !routing.other_plane && !routing.margin);
  }
  DISPATCH(ctx, x.dtype(), Route, routing, x, weight, bias, document, shape, rule);
}

void FlipBackward(Context& ctx, Acc dweight, Acc dbias, Acc dx, In gain, In x, In weight,
                  const FlipDecisions& decisions, const TreeShape& shape, float tau) {
  CheckTree(shape, x, weight);
  const Shape rows{x.shape()[0], weight.shape()[0], x.shape()[1]};
  CheckShape(dweight, weight.shape());
  CheckShape(dbias, {weight.shape()[0], shape.planes()});
  CheckShape(dx, x.shape());
  CheckShape(gain, rows);
  CheckShape(decisions.own_plane, rows);
  CheckShape(decisions.other_plane, rows);
  CheckShape(decisions.margin, rows);
  CHECK_GT(tau, 0);
  if (rows.count() == 0 || shape.planes() == 0) return;
  DISPATCH(ctx, x.dtype(), FlipBackward, dweight, dbias, dx, gain, x, weight, decisions, shape,
           tau);
}

}  // namespace treeformer
