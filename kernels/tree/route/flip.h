#pragma once

// The small pieces that the reference and the fast routing share: which level is flipped, the
// slope of a decision, and how a row's path is stored.

#include <cmath>

#include "kernels/tree/route/route.h"
#include "kernels/tree/route/walk.h"

namespace treeformer {

// row = (b H + h) n + i
HOST_DEVICE inline int FlipLevel(const FlipRule& rule, int height, int64_t row) {
  if (rule.choice == FlipChoice::kMinMargin || height == 0) return TreeWalk::kSmallestMargin;
  return static_cast<int>(RandomBits(rule.key, rule.offset + row) % height);
}

// u' = 2 / tau u (1 - u), u = sigmoid(2 f / tau); even in f
template <typename T>
HOST_DEVICE T FlipSlope(T f, T tau) {
  const T decay = std::exp(-2 * std::abs(f) / tau);  // in (0, 1]: never overflows
  return 2 / tau * decay / ((1 + decay) * (1 + decay));
}

// dL / d(own plane's score) of a row; the other plane of a k-ary decision gets the negative.
HOST_DEVICE inline float OwnSlope(float margin, float gain, bool binary, float tau) {
  const float df = FlipSlope(margin, tau) * gain;
  return binary && !(margin > 0) ? df : -df;
}

template <typename T>
void StorePath(const Routing& routing, int64_t row, const Path<T>& path) {
  routing.leaf[row] = path.leaf;
  if (routing.strength) routing.strength.as<T>()[row] = path.strength;
  if (!routing.alternative) return;
  routing.alternative[row] = path.alternative;
  routing.own_plane[row] = path.own_plane;
  routing.other_plane[row] = path.other_plane;
  routing.margin.as<T>()[row] = path.margin;
}

template <typename T>
void StorePadding(const Routing& routing, int64_t row) {
  Path<T> nowhere;
  nowhere.leaf = nowhere.alternative = -1;
  StorePath<T>(routing, row, nowhere);
}

}  // namespace treeformer
