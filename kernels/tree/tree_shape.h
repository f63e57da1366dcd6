#pragma once

// TreeShape: the form of a decision tree, the same for all heads of a layer.
//
// An internal node of level l (root l = 0) has branching[l] children; the leaves are level h.
// Nodes are numbered breadth first within their level: child c of node m of level l is node
// m * branching[l] + c of level l + 1.  A leaf's number in the mixed radix of `branching` is the
// list of decisions that leads to it.
//   binary   one hyperplane a node: f = <w, x> + b, right (child 1) when f > 0, left otherwise,
//            so that f = 0 and NaN go left            (the paper, eq. 2)
//   k-ary    one hyperplane a child: the child is the arg max of their scores, the lowest index
//            wins a tie; a NaN score never wins (all NaN: child 0)
// Hyperplanes ("planes") are numbered level by level, node by node, child by child, so that
// growing a tree by a level appends planes and leaves the old ones where they are.

#include <cstdint>
#include <vector>

namespace treeformer {

struct TreeShape {
  bool binary = true;
  std::vector<int> branching;  // [h]; all 2 when binary.  h = 0: one leaf, no plane

  static TreeShape Binary(int height) { return {true, std::vector<int>(height, 2)}; }
  static TreeShape Kary(std::vector<int> branching) { return {false, std::move(branching)}; }

  int height() const { return static_cast<int>(branching.size()); }
  int64_t Nodes(int level) const {  // of one level; level h: the leaves
    int64_t nodes = 1;
    for (int l = 0; l < level; ++l) nodes *= branching[l];
    return nodes;
  }
  int64_t leaves() const { return Nodes(height()); }
  int64_t PlanesOfNode(int level) const { return binary ? 1 : branching[level]; }
  int64_t FirstPlane(int level) const {  // the planes of all levels above
    int64_t planes = 0;
    for (int l = 0; l < level; ++l) planes += Nodes(l) * PlanesOfNode(l);
    return planes;
  }
  int64_t planes() const { return FirstPlane(height()); }  // P
  int64_t planes_on_path() const {  // that one row's way from root to leaf scores
    int64_t planes = 0;
    for (int l = 0; l < height(); ++l) planes += PlanesOfNode(l);
    return planes;
  }
  // Nodes of all levels above `level`; total_nodes() counts the leaves too.
  int64_t FirstNode(int level) const {
    int64_t nodes = 0;
    for (int l = 0; l < level; ++l) nodes += Nodes(l);
    return nodes;
  }
  int64_t total_nodes() const { return FirstNode(height() + 1); }

  friend bool operator==(const TreeShape&, const TreeShape&) = default;
};

}  // namespace treeformer
