#include "core/layers/head.h"

#include <algorithm>

#include "kernels/runtime/bfloat16.h"

namespace treeformer {
namespace {

template <typename T>
std::vector<int32_t> ArgMaxRows(View<T> scores, int64_t classes, View<int32_t> target) {
  std::vector<int32_t> best(scores.shape()[0], -1);
  for (int64_t m = 0; m < scores.shape()[0]; ++m) {
    const T* row = scores.data() + m * scores.shape()[1];
    if (target[m] >= 0) best[m] = std::max_element(row, row + classes) - row;
  }
  return best;
}

}  // namespace

std::vector<int32_t> ArgMaxOfTargets(Context& ctx, In scores, int64_t classes, Indices target) {
  const Buffer host(Device::kCpu, scores.dtype(), scores.shape());
  const Buffer ids(Device::kCpu, DType::kInt32, target.shape());
  Copy(ctx, host, scores);
  Copy(ctx, ids, target);
  ctx.Synchronize();
  if (host.dtype() == DType::kFloat64) return ArgMaxRows<double>(host, classes, ids);
  if (host.dtype() == DType::kFloat32) return ArgMaxRows<float>(host, classes, ids);
  const Buffer wide(Device::kCpu, DType::kFloat32, scores.shape());
  cpu::WidenToFloat32(wide.as<float>().data(), host.as<BFloat16>().data(), scores.count());
  return ArgMaxRows<float>(wide, classes, ids);
}

}  // namespace treeformer
