#include "core/attention/attention.h"

namespace treeformer {

namespace {

std::vector<int32_t> ReadInts(Context& ctx, Ids values) {
  std::vector<int32_t> host(values.count());
  Copy(ctx, View<int32_t>(host.data(), {values.count()}), values);
  ctx.Synchronize();
  return host;
}

std::vector<float> ReadFloats(Context& ctx, In values) {
  const Buffer host(Device::kCpu, values.dtype(), {values.count()});
  Copy(ctx, host, values);
  ctx.Synchronize();
  if (values.dtype() == DType::kFloat64) {
    const View<double> doubles = host;
    return {doubles.data(), doubles.data() + doubles.count()};
  }
  const View<float> floats = host;
  return {floats.data(), floats.data() + floats.count()};
}

}  // namespace

TreeStatistics ReadTreeStatistics(Context& ctx, const TreeRouting& queries, const TreeRouting& keys,
                                  Ids document, int64_t leaves) {
  const Shape rows = queries.leaf().shape();
  return ComputeTreeStatistics(ReadInts(ctx, queries.leaf()), ReadInts(ctx, keys.leaf()),
                               ReadFloats(ctx, queries.strength()), ReadInts(ctx, document),
                               rows[0], rows[1], rows[2], leaves);
}

}  // namespace treeformer
