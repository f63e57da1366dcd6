#include "kernels/tree/buckets/buckets_kernels.cuh"
#include "kernels/tree/buckets/sort_long_kernels.cuh"
#include "tests/kernels/cuda/emulated_testing.h"
#include "tests/kernels/tree/buckets_case.h"

namespace treeformer {

namespace {

using namespace dense_testing;
using namespace emulated_testing;
using namespace tree_testing;

using Integers = std::vector<int32_t>;
using Case = BucketCase;
using Rows = BucketRows;

cuda::SortInput Input(const Case& c, const Rows& rows) {
  return {rows.leaf.data(), rows.document.data(), c.n, c.H, c.leaves};
}

template <int kThreads>
Integers SortLists(const Case& c, const cuda::SortInput& input, const emulation::Options& options) {
  Integers order(c.B * c.H * c.n, -7), buffer = order;
  emulation::Launch({static_cast<int>(c.B * c.H)}, kThreads, cuda::SortSharedBytes(kThreads),
                    options, cuda::SortListKernel<kThreads>, order.data(), buffer.data(), input);
  return order;
}

Integers SortLongLists(const Case& c, const cuda::SortInput& input,
                       const emulation::Options& options) {
  const int lists = static_cast<int>(c.B * c.H);
  const int64_t chunks = cuda::DivideUp(c.n, cuda::kChunk);
  Integers order(lists * c.n, -7), buffer = order;
  Integers table(lists * cuda::kMaxDigits * chunks, -7);
  std::vector<cuda::DocumentRange> range(c.B);
  if (input.document != nullptr) {
    emulation::Launch({static_cast<int>(c.B)}, cuda::kChunkThreads, cuda::kReduceSharedBytes,
                      options, cuda::DocumentRangeKernel, range.data(), input.document, c.n);
  }
  cuda::SortPass pass{input,
                      input.document == nullptr ? nullptr : range.data(),
                      order.data(),
                      buffer.data(),
                      table.data(),
                      chunks,
                      0,
                      input.MaxDigitCount()};
  const emulation::Grid blocks{static_cast<int>(lists * chunks)};
  for (; pass.number < pass.passes; ++pass.number) {
    emulation::Launch(blocks, cuda::kChunkThreads, cuda::kMaxDigits * 4, options,
                      cuda::CountChunksKernel, pass);
    emulation::Launch({lists}, cuda::kScanThreads, cuda::kReduceSharedBytes, options,
                      cuda::ScanChunksKernel, pass);
    emulation::Launch(blocks, cuda::kChunkThreads, cuda::SortSharedBytes(cuda::kChunkThreads),
                      options, cuda::ScatterChunksKernel, pass);
  }
  return order;
}

TEST(SortKernels, AreStableByDocumentAndLeafWithPaddingLast) {
  for (const Case& c : BucketCases()) {
    SCOPED_TRACE(testing::Message() << "n = " << c.n << ", leaves = " << c.leaves);
    for (const bool shuffled : {false, true}) {
      Rows rows = MakeRows(c, 3);
      if (shuffled) {  // documents neither ascending nor dense
        for (int32_t& d : rows.document) d = d < 0 ? d : (d * 7) % 11 + 1000;
      }
      const Integers expected = StableOrder(c, rows);
      for (const unsigned seed : {1, 2}) {
        EXPECT_EQ(SortLists<cuda::kShortSortThreads>(c, Input(c, rows), {seed}), expected);
      }
      EXPECT_EQ(SortLists<cuda::kLongSortThreads>(c, Input(c, rows), {}), expected);
      for (const unsigned seed : {1, 2}) {
        EXPECT_EQ(SortLongLists(c, Input(c, rows), {seed}), expected);
      }
    }
  }
}

// Several chunks, and a document over their border; one digit and two; two tiles of the scan.
TEST(SortKernels, ShareALongListAmongBlocks) {
  for (const Case& c : {Case{1, 2, 8192, 1024, 1, true}, Case{1, 1, 9001, 300, 13, true},
                        Case{2, 1, 4097, 1, 1, false}, Case{1, 1, 9001, 2000, 1, true}}) {
    const Rows rows = MakeRows(c, 4);
    const Integers expected = StableOrder(c, rows);
    for (const unsigned seed : {1, 2}) {
      EXPECT_TRUE(SortLongLists(c, Input(c, rows), {seed}) == expected) << c.n;
    }
    EXPECT_TRUE(SortLists<cuda::kLongSortThreads>(c, Input(c, rows), {}) == expected) << c.n;
  }
}

// All rows in the last of few leaves, and of so many that there are several digits.
TEST(SortKernels, TakeCollapsedTrees) {
  for (const Case& c : {Case{1, 2, 257, 64, 3, true}, Case{1, 1, 131, 100000, 2, true},
                        Case{1, 1, 4099, 3000, 1, true}}) {
    Rows rows = MakeRows(c, 7);
    Collapse(rows.leaf, c.leaves - 1);
    const Integers expected = StableOrder(c, rows);
    for (const unsigned seed : {1, 2}) {
      EXPECT_EQ(SortLists<cuda::kShortSortThreads>(c, Input(c, rows), {seed}), expected) << c.n;
      EXPECT_EQ(SortLongLists(c, Input(c, rows), {seed}), expected) << c.n;
    }
  }
}

TEST(SortKernels, TakeOnlyPadding) {
  const Case c{1, 1, 40, 5, 1, false};
  Rows rows = MakeRows(c, 1);
  rows.document.assign(c.n, -1);
  Integers expected(c.n);
  std::iota(expected.begin(), expected.end(), 0);
  EXPECT_EQ(SortLists<cuda::kShortSortThreads>(c, Input(c, rows), {}), expected);
  EXPECT_EQ(SortLongLists(c, Input(c, rows), {}), expected);
}

TEST(SortKernels, TakeRowsWithoutDocuments) {
  const Case c{2, 2, 150, 3000, 1, true};
  Rows rows = MakeRows(c, 6);
  rows.document.assign(c.B * c.n, 0);
  cuda::SortInput input = Input(c, rows);
  input.document = nullptr;
  const Integers expected = StableOrder(c, rows);
  EXPECT_EQ(SortLists<cuda::kShortSortThreads>(c, input, {}), expected);
  EXPECT_EQ(SortLongLists(c, input, {}), expected);
}

void ExpectMatchedRanges(const BucketCase& c, BucketRows own, BucketRows other) {
  SCOPED_TRACE(testing::Message() << "n = " << c.n << ", leaves = " << c.leaves);
  Integers order = StableOrder(c, own), other_order = StableOrder(c, other);
  const int64_t count = c.B * c.H * c.n;
  Integers expected(2 * count, -7), range = expected;
  Context cpu = Context::Cpu();
  const Shape rows{c.B, c.H, c.n}, documents{c.B, c.n};
  MatchRanges(cpu, On(expected, {c.B, c.H, c.n, 2}),
              {On(order, rows), On(own.leaf, rows), On(own.document, documents)},
              {On(other_order, rows), On(other.leaf, rows), On(own.document, documents)});
  const int blocks = Blocks(count, cuda::kMatchThreads);
  const int32_t* document = own.document.data();
  emulation::Launch({blocks}, cuda::kMatchThreads, /*shared_bytes=*/0, {}, cuda::MatchRangesKernel,
                    range.data(), cuda::SortedSide{order.data(), own.leaf.data(), document, c.n},
                    cuda::SortedSide{other_order.data(), other.leaf.data(), document, c.n}, c.H,
                    count);
  EXPECT_EQ(range, expected);
}

TEST(MatchRangesKernel, GivesExactlyTheSlotsOfTheSameDocumentAndLeaf) {
  for (const BucketCase& c : BucketCases()) ExpectMatchedRanges(c, MakeRows(c, 1), MakeRows(c, 2));
}

TEST(MatchRangesKernel, TakesCollapsedTreesThatMeetAndThatDoNot) {
  const BucketCase c{1, 2, 257, 8, 3, true};
  for (const int32_t leaf : {0, 7}) {
    Rows own = MakeRows(c, 1), other = MakeRows(c, 2);
    Collapse(own.leaf, 7);
    Collapse(other.leaf, leaf);
    ExpectMatchedRanges(c, own, other);
  }
}

// In shared memory and, the last, in global memory.
TEST(CountLeavesKernel, CountsTheRowsOfEveryLeafWithoutPadding) {
  for (const Case& c : {Case{2, 3, 17, 4, 1, true}, Case{1, 2, 4097, 64, 1, true},
                        Case{1, 1, 300, 4096, 1, true}, Case{2, 1, 4500, 4097, 1, true}}) {
    for (const unsigned seed : {1, 2, 3}) {  // the last: one leaf has all rows
      Rows rows = MakeRows(c, 5);
      if (seed == 3) Collapse(rows.leaf, c.leaves - 1);
      Integers expected(c.B * c.H * c.leaves), count = expected;
      for (size_t i = 0; i < rows.leaf.size(); ++i) {
        if (rows.leaf[i] >= 0) ++expected[i / c.n * c.leaves + rows.leaf[i]];
      }
      const int64_t chunks = cuda::DivideUp(c.n, cuda::kCountRows);
      emulation::Launch({static_cast<int>(c.B * c.H * chunks)}, cuda::kCountThreads,
                        cuda::kCountSharedBytes, {seed}, cuda::CountLeavesKernel, count.data(),
                        rows.leaf.data(), c.n, int64_t{c.leaves}, chunks);
      EXPECT_EQ(count, expected) << c.leaves;
    }
  }
}

}  // namespace

}  // namespace treeformer
