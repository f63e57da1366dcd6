#pragma once

// The walk of one row down a tree, for any way of computing a plane's score: the tie and NaN rules
// of tree_shape.h and the pick of FLIP's decision (route.h) stand here only, for the CPU and the
// GPU (a TreeWalk is passed to a kernel as it is).
//
//   score(plane) -> T, called for the planes of the visited nodes.  Decide and Descend call it as
//   often for every row, so on a GPU it may be a collective of the warp.

#include <glog/logging.h>

#include <cmath>
#include <limits>

#include "kernels/base/host_device.h"
#include "kernels/tree/tree_shape.h"

namespace treeformer {

// What a node decided.  other < 0: there is no second best (its scores are NaN).
template <typename T>
struct Decision {
  int32_t child = 0, other = -1;
  int32_t own_plane = -1, other_plane = -1;
  T margin = std::numeric_limits<T>::quiet_NaN();
};

template <typename T>
struct Path {
  int32_t leaf = 0;
  T strength = 0;
  int32_t alternative = 0;
  int32_t own_plane = -1, other_plane = -1;  // -1: nothing was picked
  T margin = 0;
};

class TreeWalk {
 public:
  static constexpr int kSmallestMargin = -1;  // instead of a level
  static constexpr int kMaxHeight = 30;

  explicit TreeWalk(const TreeShape& shape) : binary_(shape.binary), height_(shape.height()) {
    CHECK_LE(height_, kMaxHeight);
    CHECK_LE(shape.planes(), std::numeric_limits<int32_t>::max());
    for (int l = 0; l < height_; ++l) {
      branching_[l] = shape.branching[l];
      first_plane_[l] = static_cast<int32_t>(shape.FirstPlane(l));
    }
  }

  HOST_DEVICE int height() const { return height_; }

  template <typename T, typename Score>
  HOST_DEVICE Decision<T> Decide(int level, int32_t node, const Score& score) const {
    return binary_ ? DecideBinary<T>(first_plane_[level] + node, score)
                   : DecideKary<T>(first_plane_[level] + node * branching_[level],
                                   branching_[level], score);
  }
  HOST_DEVICE int32_t Child(int level, int32_t node, int32_t child) const {
    return node * branching_[level] + child;
  }

  // A row's own way down, and the decision picked on it.
  template <typename T>
  struct Descent {
    Path<T> path;     // with alternative = leaf
    int level;        // of the picked decision; the height: none
    int32_t flipped;  // the child of it that the row did not choose
  };
  // flip_level: the level whose decision is flipped, or kSmallestMargin.
  template <typename T, typename Score>
  HOST_DEVICE Descent<T> Descend(const Score& score, int flip_level) const {
    Descent<T> descent{{}, height_, 0};
    Path<T>& path = descent.path;
    for (int level = 0; level < height_; ++level) {
      const Decision<T> decision = Decide<T>(level, path.leaf, score);
      const T size = std::abs(decision.margin);
      path.strength += size / height_;
      const bool wanted = flip_level == kSmallestMargin
                              ? descent.level == height_ || size < std::abs(path.margin)
                              : level == flip_level;
      if (wanted && !std::isnan(size)) {
        descent.level = level;
        descent.flipped = Child(level, path.leaf, decision.other);
        path.own_plane = decision.own_plane;
        path.other_plane = decision.other_plane;
        path.margin = decision.margin;
      }
      path.leaf = Child(level, path.leaf, decision.child);
    }
    path.alternative = path.leaf;
    return descent;
  }

  template <typename T, typename Score>
  Path<T> Walk(const Score& score, int flip_level, bool with_alternative) const {
    Descent<T> descent = Descend<T>(score, flip_level);
    Path<T>& path = descent.path;
    if (!with_alternative || descent.level == height_) return path;
    path.alternative = descent.flipped;
    for (int level = descent.level + 1; level < height_; ++level) {
      path.alternative =
          Child(level, path.alternative, Decide<T>(level, path.alternative, score).child);
    }
    return path;
  }

 private:
  template <typename T, typename Score>
  HOST_DEVICE static Decision<T> DecideBinary(int32_t plane, const Score& score) {
    const T f = score(plane);
    const int child = f > 0 ? 1 : 0;
    return {child, 1 - child, plane, plane, f};
  }

  template <typename T, typename Score>
  HOST_DEVICE static Decision<T> DecideKary(int32_t first, int children, const Score& score) {
    int32_t best = -1, second = -1;
    T best_score = 0, second_score = 0;
    for (int32_t c = 0; c < children; ++c) {
      const T f = score(first + c);
      if (std::isnan(f)) {
        // never wins
      } else if (best < 0 || f > best_score) {
        second = best;
        second_score = best_score;
        best = c;
        best_score = f;
      } else if (second < 0 || f > second_score) {
        second = c;
        second_score = f;
      }
    }
    Decision<T> decision;
    decision.child = best < 0 ? 0 : best;
    if (second < 0) return decision;
    decision.other = second;
    decision.own_plane = first + best;
    decision.other_plane = first + second;
    decision.margin = best_score - second_score;
    return decision;
  }

  bool binary_;
  int height_;
  int32_t branching_[kMaxHeight];    // [h]
  int32_t first_plane_[kMaxHeight];  // [h]
};

}  // namespace treeformer
