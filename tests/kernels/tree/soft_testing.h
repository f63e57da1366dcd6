#pragma once

// Shapes for the tests of the operations on whole trees: DENSE, TC, the soft tree.

#include <omp.h>

#include <functional>

#include "tests/kernels/tree/tree_testing.h"

namespace treeformer::tree_testing {

struct TreeCase {
  int64_t B, n, H, e;
  TreeShape shape;
  int documents;  // of a sequence
  bool padding;

  int64_t rows() const { return B * H * n; }
  int64_t elements() const { return B * n * H * e; }
  int64_t effects() const { return rows() * shape.leaves(); }
  int64_t levels() const { return shape.height() + 1; }
  Shape row_shape() const { return {B, H, n}; }
  Shape x_shape() const { return {B, n, H, e}; }
  Shape effect_shape() const { return {B, H, n, shape.leaves()}; }

  std::vector<int32_t> Document() const { return Documents(B, n, documents, padding); }
  std::vector<int32_t> Leaves(unsigned seed) const {
    std::vector<int32_t> leaf = RandomLeaves(rows(), static_cast<int>(shape.leaves()), seed);
    MaskLeaves(leaf, Document(), H, n);
    return leaf;
  }
};

struct SoftCase {  // of the soft tree
  TreeCase tree;
  int64_t x_heads;
  bool same_effect;  // for all rows
};

// Multiples of 1/8 in [-1, 1], exact in bfloat16: scores are exact in float32, so that every back
// end agrees on their signs, on f = 0 and on |f| <= 1.
template <typename T>
std::vector<T> Eighths(int64_t count, unsigned seed) {
  std::mt19937 engine(seed);
  std::vector<T> values(count);
  for (T& value : values) value = (static_cast<int>(engine() % 17) - 8) / T{8};
  return values;
}

inline std::ostream& operator<<(std::ostream& out, const TreeCase& c) {
  return out << "B " << c.B << " n " << c.n << " H " << c.H << " e " << c.e << " leaves "
             << c.shape.leaves() << " documents " << c.documents << " padding " << c.padding;
}

template <typename T>
View<T> On(std::vector<T>& values, const Shape& shape) {
  CHECK_EQ(static_cast<int64_t>(values.size()), shape.count());
  return View<T>(values.data(), shape);
}
template <typename T>
View<const T> On(const std::vector<T>& values, const Shape& shape) {
  CHECK_EQ(static_cast<int64_t>(values.size()), shape.count());
  return View<const T>(values.data(), shape);
}

// The level-`level` node above a leaf, from the definition: the first decisions of its mixed radix.
inline int64_t NodeAbove(const TreeShape& shape, int64_t leaf, int level) {
  for (int l = shape.height() - 1; l >= level; --l) leaf /= shape.branching[l];
  return leaf;
}

// The same bits from 1, 2 and 3 threads.
inline void ExpectSameBits(const std::function<std::vector<float>()>& compute) {
  const int threads = omp_get_max_threads();
  omp_set_num_threads(1);
  const std::vector<float> one = compute();
  for (int count : {2, 3}) {
    omp_set_num_threads(count);
    EXPECT_EQ(one, compute()) << count << " threads";
  }
  omp_set_num_threads(threads);
}

inline void ExpectClose(const std::vector<float>& fast, const std::vector<double>& exact,
                        float tolerance, const char* what) {
  ASSERT_EQ(fast.size(), exact.size());
  for (size_t i = 0; i < fast.size(); ++i) {
    ASSERT_NEAR(fast[i], exact[i], tolerance) << what << " at " << i;
  }
}

}  // namespace treeformer::tree_testing
