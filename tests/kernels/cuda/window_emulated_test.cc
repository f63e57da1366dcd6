#include "kernels/tree/buckets/window_kernels.cuh"
#include "tests/kernels/cuda/emulated_testing.h"
#include "tests/kernels/tree/buckets_case.h"

namespace treeformer {

namespace {

using namespace emulated_testing;
using namespace tree_testing;

TEST(NarrowRangesKernel, LeavesWhatTheCpuLeaves) {
  for (const BucketCase& c : BucketCases()) {
    const auto& [B, H, n, leaves, documents, padding] = c;
    const auto [query_leaf, document] = MakeRows(c, 1);
    Context cpu = Context::Cpu();
    for (const int64_t reach : {int64_t{0}, n / 5, n}) {
      BucketStore store(cpu, query_leaf, MakeRows(c, 2).leaf, document, B, H, n, leaves);
      const Buckets buckets = store.buckets();
      std::vector<int32_t> range(buckets.key_range.data(),
                                 buckets.key_range.data() + buckets.key_range.count());
      store.Narrow(cpu, reach);
      emulation::Launch({Blocks(B * H * n, cuda::kWindowThreads)}, cuda::kWindowThreads,
                        /*shared_bytes=*/0, {}, cuda::NarrowRangesKernel, range.data(),
                        buckets.query_order.data(), buckets.key_order.data(), reach,
                        static_cast<int>(n), B * H * n);
      EXPECT_TRUE(std::equal(range.begin(), range.end(), buckets.key_range.data()))
          << "n = " << n << ", reach " << reach;
    }
  }
}

}  // namespace

}  // namespace treeformer
