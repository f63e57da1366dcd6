#pragma once

// A binary tree as one array, breadth first: the node of plane t has the children 2 t + 1 and
// 2 t + 2, leaf m of L is node (L - 1) + m.  Shared by the reference and the fast dense gradient.

#include <cmath>
#include <cstdint>

inline int64_t LeftChild(int64_t t) { return 2 * t + 1; }
inline int64_t RightChild(int64_t t) { return 2 * t + 2; }

// right[t] = 1 where the path to `leaf` turns right at t, 0 where left; other nodes are left alone.
inline void SetPath(char* right, int64_t leaf, int64_t leaves) {
  for (int64_t t = leaves - 1 + leaf; t > 0; t = (t - 1) / 2) right[(t - 1) / 2] = t % 2 == 0;
}

// Padding and rows with NaN scores pass none.
template <typename T>
bool PassesGradient(int32_t leaf, T strength) {
  return leaf >= 0 && std::isfinite(strength);
}
