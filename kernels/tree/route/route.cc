#include "kernels/tree/route/route.h"

#include "kernels/runtime/dispatch.h"
#include "kernels/tree/route/flip.h"
#include "kernels/tree/route/walk.h"

namespace treeformer {

template <typename T>
void reference::Route(Context&, const Routing& routing, const RouterOperands& router, Ids document,
                      const FlipRule& rule) {
  const View<const T> x = router.x, weight = router.weight, bias = router.bias;
  const TreeShape& shape = router.shape;
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
void reference::FlipBackward(Context&, const RouterGradients& gradients, In gain_any,
                             const RouterOperands& router, const FlipDecisions& decisions,
                             float tau) {
  const View<T> dweight = gradients.dweight, dbias = gradients.dbias, dx = gradients.dx;
  const View<const T> gain = gain_any, x = router.x, weight = router.weight;
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
        if (router.shape.binary) {
          add(own, margin[row] > 0 ? -df : df);
        } else {
          add(own, -df);
          add(other, df);
        }
      }
    }
  }
}

INSTANTIATE_REFERENCE(Route)
INSTANTIATE_REFERENCE(FlipBackward)

namespace {

void CheckRouter(const RouterOperands& router) {
  const auto& [x, weight, bias, shape] = router;
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

void Route(Context& ctx, const Routing& routing, const RouterOperands& router, Ids document,
           const FlipRule& rule) {
  CheckRouter(router);
  const In x = router.x;
  const int64_t B = x.shape()[0], n = x.shape()[1], H = router.weight.shape()[0];
  const Shape rows{B, H, n};
  CheckShape(router.bias, {H, router.shape.planes()});
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
  DISPATCH(ctx, x.dtype(), Route, routing, router, document, rule);
}

void FlipBackward(Context& ctx, const RouterGradients& gradients, In gain,
                  const RouterOperands& router, const FlipDecisions& decisions, float tau) {
  CheckRouter(router);
  const auto& [x, weight, bias, shape] = router;
  const Shape rows{x.shape()[0], weight.shape()[0], x.shape()[1]};
  CheckShape(gradients.dweight, weight.shape());
  CheckShape(gradients.dbias, {weight.shape()[0], shape.planes()});
  CheckShape(gradients.dx, x.shape());
  CheckShape(gain, rows);
  CheckShape(decisions.own_plane, rows);
  CheckShape(decisions.other_plane, rows);
  CheckShape(decisions.margin, rows);
  CHECK_GT(tau, 0);
  if (rows.count() == 0 || shape.planes() == 0) return;
  DISPATCH(ctx, x.dtype(), FlipBackward, gradients, gain, router, decisions, tau);
}

}  // namespace treeformer
