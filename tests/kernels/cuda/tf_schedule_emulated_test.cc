// The order in which blocks own units of slots, on the host, against std::stable_sort.

#include <numeric>

#include "kernels/tree/tf/tf_forward_kernels.cuh"
#include "kernels/tree/tf/tf_schedule_kernels.cuh"
#include "tests/kernels/cuda/tf_launcher.h"

namespace treeformer {

namespace {

using namespace emulated_testing;

// Ranges of one side's rows: [lists, n, 2].
struct Ranges {
  int lists, n;
  std::vector<int32_t> values;

  int tiles() const { return Blocks(n, cuda::kTfRows); }
  int units() const { return lists * tiles(); }
};

// Runs of up to 100 rows meet up to `longest` slots, one behind the other, or nobody.
Ranges RandomRanges(int lists, int n, int longest, unsigned seed) {
  Ranges ranges{lists, n, {}};
  std::mt19937 engine(seed);
  for (int list = 0; list < lists; ++list) {
    int32_t begin = 0;
    for (int i = 0; i < n;) {
      const int run = std::min<int>(1 + engine() % 100, n - i);
      const int32_t count = engine() % 5 == 0 ? 0 : 1 + engine() % longest;
      for (const int end = i + run; i < end; ++i) {
        ranges.values.push_back(count == 0 ? 0 : begin);
        ranges.values.push_back(count == 0 ? 0 : begin + count);
      }
      begin += count;
    }
  }
  return ranges;
}

// The number of binary digits of the tiles that the hull of the ranges of a few rows fills.
int Digits(const Ranges& ranges, int unit) {
  const int first = unit % ranges.tiles() * 64, last = std::min(first + 64, ranges.n) - 1;
  int64_t begin = std::numeric_limits<int32_t>::max(), end = 0;
  for (const int third : {0, 1, 2, 3}) {
    const int64_t slot = first + (last - first) * third / 3;
    const int32_t* range = &ranges.values[2 * (int64_t{unit / ranges.tiles()} * ranges.n + slot)];
    if (range[0] == range[1]) continue;
    begin = std::min<int64_t>(begin, range[0]), end = std::max<int64_t>(end, range[1]);
  }
  int digits = 0;
  for (int64_t tiles = (std::max(end - begin, int64_t{0}) + 63) / 64; tiles > 0; tiles /= 2) {
    ++digits;
  }
  return std::min(digits, 15);
}

std::vector<int32_t> ByDigits(const Ranges& ranges) {
  std::vector<int32_t> units(ranges.units());
  std::iota(units.begin(), units.end(), 0);
  std::stable_sort(units.begin(), units.end(),
                   [&](int a, int b) { return Digits(ranges, a) > Digits(ranges, b); });
  return units;
}

cuda::TfProblem ProblemOf(const Ranges& queries, const Ranges& keys) {
  cuda::TfProblem p{};
  p.queries.range = queries.values.data(), p.keys.range = keys.values.data();
  p.n = queries.n, p.lists = queries.lists, p.tiles = queries.tiles();
  return p;
}

// One row, one unit, one past; more units than lanes, than threads, and than both sides' threads.
TEST(OrderUnits, TakesTheLongestFirstAndNeighboursInTheirOrder) {
  for (const auto& [lists, n] : {std::pair{1, 1}, std::pair{1, 64}, std::pair{3, 65},
                                 std::pair{5, 997}, std::pair{33, 2081}, std::pair{7, 20000}}) {
    for (const int longest : {3, 500, 20000}) {
      SCOPED_TRACE(testing::Message() << lists << " lists of " << n << ", up to " << longest);
      const Ranges queries = RandomRanges(lists, n, longest, /*seed=*/1);
      const Ranges keys = RandomRanges(lists, n, longest, /*seed=*/2);
      for (const emulation::Options& options : {AllOptions()[0], AllOptions()[3]}) {
        const Units units(ProblemOf(queries, keys), options);
        EXPECT_EQ(units.queries, ByDigits(queries));
        EXPECT_EQ(units.keys, ByDigits(keys));
      }
    }
  }
}

// Without rows that meet nobody it is the number of tiles that a block streams.
TEST(OrderUnits, CountsAllTilesOfAUnit) {
  tree_testing::CaseSize size{1, 2, 4097, 32, 6};
  TfCase c(size);
  const tree_testing::BucketStore store = c.Store();
  const Ids range = store.buckets().key_range;
  Ranges ranges{2, 4097, {range.data(), range.data() + range.count()}};
  const Units units(ProblemOf(ranges, ranges), {});
  std::vector<int> digits;
  for (const int unit : units.queries) {
    const int64_t first = unit / 65 * int64_t{4097} + unit % 65 * 64;
    const int64_t last = std::min<int64_t>(first + 63, (unit / 65 + 1) * int64_t{4097} - 1);
    const int keys = ranges.values[2 * last + 1] - ranges.values[2 * first];
    digits.push_back(std::bit_width(static_cast<unsigned>(Blocks(keys, 64))));
  }
  EXPECT_TRUE(std::is_sorted(digits.rbegin(), digits.rend()));
}

// Ranges of 2^20 slots and more are one class: the last of sixteen.
TEST(OrderUnits, TakesRangesBeyondTheLastClass) {
  Ranges ranges{1, 4 * 64, {}};
  for (const int32_t count :
       {1 << 19, 1 << 20, 1 << 30, std::numeric_limits<int32_t>::max() - 64}) {
    for (int row = 0; row < 64; ++row) {
      ranges.values.push_back(0);
      ranges.values.push_back(count);
    }
  }
  EXPECT_EQ(Units(ProblemOf(ranges, ranges), {}).queries, (std::vector<int32_t>{1, 2, 3, 0}));
}

TEST(OrderUnits, ChangesNoBit) {
  TfCase c({2, 3, 150, 32, 4, 2, true});
  c.options.causal = true;
  const tree_testing::BucketStore store = c.Store();
  const auto run = [&](const auto& reorder) {
    TfLauncher<32> launcher(c, store.buckets(), {});
    reorder(launcher.units().queries);
    std::vector<BFloat16> o = Unwritten(c.rows().count());
    std::vector<float> lse(c.lists().count(), NAN);
    launcher.Launch<1>(cuda::TfForwardKernel<32, false>, o.data(), lse.data());
    return ToFloat(o);
  };
  const auto ordered = run([](const auto&) {});
  EXPECT_EQ(run([](auto& units) { std::sort(units.begin(), units.end()); }), ordered);
  EXPECT_EQ(run([](auto& units) { std::reverse(units.begin(), units.end()); }), ordered);
}

}  // namespace

}  // namespace treeformer
