#pragma once

// A binary tree as one array, breadth first: the node of plane t has the children 2 t + 1 and
// 2 t + 2, leaf m of L is node (L - 1) + m.  Shared by the reference and the fast dense gradient.

#include <cmath>
#include <cstdint>

namespace treeformer {

inline int64_t LeftChild(int64_t t) { return 2 * t + 1; }
inline int64_t RightChild(int64_t t) { return 2 * t + 2; }
inline int64_t Parent(int64_t t) { return (t - 1) / 2; }
inline int64_t Sibling(int64_t t) { return t % 2 == 0 ? t - 1 : t + 1; }
inline bool IsRightChild(int64_t t) { return t % 2 == 0; }

// Padding and rows with NaN scores pass none.
template <typename T>
bool PassesGradient(int32_t leaf, T strength) {
  return leaf >= 0 && std::isfinite(strength);
}

}  // namespace treeformer
