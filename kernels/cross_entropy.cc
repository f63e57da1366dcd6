#include "kernels/cross_entropy.h"

#include <algorithm>
#include <cmath>

#include "kernels/runtime/dispatch.h"

namespace treeformer {

template <typename T>
void reference::SoftmaxCrossEntropy(Context&, Out loss_any, View<int32_t> correct, Out logits_any,
                                    int64_t V, Indices target, bool gradient) {
  const View<T> loss = loss_any, logits = logits_any;
  const int64_t M = logits.shape()[0], ld = logits.shape()[1];
  for (int64_t m = 0; m < M; ++m) {
    T* z = logits.data() + m * ld;
    const int64_t t = target[m];
    CHECK_LT(t, V) << "target of row " << m << ", of " << V << " classes";
    loss[m] = 0;
    correct[m] = 0;
    if (t < 0) {
      if (gradient) std::fill(z, z + V, T{0});
      continue;
    }
    const double largest = *std::max_element(z, z + V);
    double sum = 0;
    for (int64_t c = 0; c < V; ++c) sum += std::exp(z[c] - largest);
    loss[m] = std::log(sum) - (z[t] - largest);
    correct[m] = std::max_element(z, z + V) - z == t;
    if (!gradient) continue;
    for (int64_t c = 0; c < V; ++c) z[c] = std::exp(z[c] - largest) / sum - (c == t);
  }
}

template <typename T>
void reference::AddLossSums(Context&, View<double> sums, In loss_any, Indices correct) {
  const View<const T> loss = loss_any;
  for (int64_t m = 0; m < loss.count(); ++m) {
    sums[0] += loss[m];
    sums[1] += correct[m];
  }
}

INSTANTIATE_REFERENCE(SoftmaxCrossEntropy)
INSTANTIATE_REFERENCE(AddLossSums)

void SoftmaxCrossEntropy(Context& ctx, Out loss, View<int32_t> correct, Out logits, int64_t V,
                         Indices target, bool gradient) {
  CHECK_EQ(logits.shape().rank(), 2) << logits.shape();
  CHECK_LE(V, logits.shape()[1]);
  const Shape rows{logits.shape()[0]};
  CHECK_EQ(loss.shape(), rows);
  CHECK_EQ(correct.shape(), rows);
  CHECK_EQ(target.shape(), rows);
  if (loss.count() == 0) return;
  DISPATCH(ctx, logits.dtype(), SoftmaxCrossEntropy, loss, correct, logits, V, target, gradient);
}

void AddLossSums(Context& ctx, View<double> sums, In loss, Indices correct) {
  CHECK_EQ(sums.count(), 2);
  CHECK_EQ(loss.shape(), correct.shape());
  DISPATCH(ctx, loss.dtype(), AddLossSums, sums, loss, correct);
}

}  // namespace treeformer
