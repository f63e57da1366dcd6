#pragma once

// The walk of one row down a tree, for any way of computing a plane's score: the tie and NaN rules
// of tree_shape.h and the pick of FLIP's decision (route.h) stand here only.
//
//   score(plane) -> T, called for the planes of the visited nodes

#include <cmath>
#include <limits>

#include "kernels/tree/tree_shape.h"

// What a node decided.  other < 0: there is no second best (its scores are NaN).
template <typename T>
struct Decision {
  int64_t child = 0, other = -1;
  int64_t own_plane = -1, other_plane = -1;
  T margin = std::numeric_limits<T>::quiet_NaN();
};

template <typename T>
struct Path {
  int64_t leaf = 0;
  T strength = 0;
  int64_t alternative = 0;
  int64_t own_plane = -1, other_plane = -1;  // -1: nothing was picked
  T margin = 0;
};

class TreeWalk {
 public:
  static constexpr int kSmallestMargin = -1;  // instead of a level

  explicit TreeWalk(const TreeShape& shape) : binary_(shape.binary), branching_(shape.branching) {
    for (int l = 0; l < shape.height(); ++l) first_plane_.push_back(shape.FirstPlane(l));
  }

  int height() const { return static_cast<int>(branching_.size()); }

  template <typename T, typename Score>
  Decision<T> Decide(int level, int64_t node, const Score& score) const {
    return binary_ ? DecideBinary<T>(first_plane_[level] + node, score)
                   : DecideKary<T>(first_plane_[level] + node * branching_[level],
                                   branching_[level], score);
  }

  // flip_level: the level whose decision is flipped, or kSmallestMargin.
  template <typename T, typename Score>
  Path<T> Walk(const Score& score, int flip_level, bool with_alternative) const {
    Path<T> path;
    Decision<T> picked;
    int picked_level = -1;
    int64_t picked_node = 0;
    for (int level = 0; level < height(); ++level) {
      const Decision<T> decision = Decide<T>(level, path.leaf, score);
      const T size = std::abs(decision.margin);
      path.strength += size / height();
      const bool wanted = flip_level == kSmallestMargin
                              ? picked_level < 0 || size < std::abs(picked.margin)
                              : level == flip_level;
      if (wanted && !std::isnan(size)) {
        picked = decision;
        picked_level = level;
        picked_node = path.leaf;
      }
      path.leaf = path.leaf * branching_[level] + decision.child;
    }
    path.alternative = path.leaf;
    if (!with_alternative || picked_level < 0) return path;
    path.alternative =
        Below<T>(picked_level, picked_node * branching_[picked_level] + picked.other, score);
    path.own_plane = picked.own_plane;
    path.other_plane = picked.other_plane;
    path.margin = picked.margin;
    return path;
  }

 private:
  // The leaf that the row's own decisions reach from child `node` of a node of `level`.
  template <typename T, typename Score>
  int64_t Below(int level, int64_t node, const Score& score) const {
    for (++level; level < height(); ++level) {
      node = node * branching_[level] + Decide<T>(level, node, score).child;
    }
    return node;
  }

  template <typename T, typename Score>
  static Decision<T> DecideBinary(int64_t plane, const Score& score) {
    const T f = score(plane);
    const int child = f > 0 ? 1 : 0;
    return {child, 1 - child, plane, plane, f};
  }

  template <typename T, typename Score>
  static Decision<T> DecideKary(int64_t first, int children, const Score& score) {
    int64_t best = -1, second = -1;
    T best_score = 0, second_score = 0;
    for (int64_t c = 0; c < children; ++c) {
      const T f = score(first + c);
      if (std::isnan(f)) continue;
      if (best < 0 || f > best_score) {
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
  std::vector<int> branching_;        // [h]
  std::vector<int64_t> first_plane_;  // [h]
};
