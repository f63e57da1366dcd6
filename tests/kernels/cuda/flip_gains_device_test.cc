// FlipGains on a GPU, launchers and buckets included; where there is none, on the emulated one.

#include "tests/kernels/cuda/flip_gains_case.h"

namespace {

using namespace emulated_testing;
using namespace tree_testing;

Gains RunOn(Context& ctx, const TfCase& c, const Statistics& x) {
  const auto rows = [&](const std::vector<BFloat16>& values) {
    return Upload(ctx, values, c.rows());
  };
  const auto lists = [&](const std::vector<float>& values) {
    return Upload(ctx, values, c.lists());
  };
  const std::vector<float> unwritten(c.lists().count(), NAN);
  const Buffer q = rows(c.q16), k = rows(c.k16), v = rows(c.v16), d_o = rows(c.d_o16);
  const Buffer lse = lists(x.lse), delta = lists(x.delta), key_effect = lists(x.key_effect);
  const Buffer query_gain = lists(unwritten), key_gain = lists(unwritten);
  const auto store = [&](const std::vector<int32_t>& queries, const std::vector<int32_t>& keys) {
    return c.AttentionCase::Store(ctx, queries, keys);
  };
  const BucketStore query_probe = store(c.query_other, c.key_leaf);
  const BucketStore key_probe = store(c.query_leaf, c.key_other);
  // A probe reads the ranges of its own side only.
  Buckets of_queries = query_probe.buckets(), of_keys = key_probe.buckets();
  of_queries.query_range = of_keys.key_range = Ids();
  FlipGains(ctx, query_gain, key_gain, d_o, q, k, v, lse, delta, key_effect, of_queries, of_keys,
            c.options.causal);
  return {Download<float>(ctx, query_gain), Download<float>(ctx, key_gain)};
}

TEST(FlipGainsOnAGpu, AgreeWithTheReference) {
  if (Context::CudaDeviceCount() == 0) GTEST_SKIP() << "this machine has no GPU";
  Context ctx = Context::Cuda(/*index=*/0);
  for (const int64_t e : {32, 64, 96, 128}) {
    for (const bool causal : {false, true}) {
      SCOPED_TRACE(testing::Message() << "e = " << e << (causal ? ", causal" : ""));
      TfCase c({2, 3, 131, e, 3, 2, true});
      c.options.causal = causal;
      const Statistics statistics = StatisticsOf(c);
      ExpectRight(c, RunOn(ctx, c, statistics), Reference(c, statistics), statistics);
    }
  }
}

}  // namespace
