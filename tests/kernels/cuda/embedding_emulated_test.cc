#include <sys/mman.h>

#include "kernels/embedding.h"
#include "kernels/embedding_kernels.cuh"
#include "tests/kernels/cuda/emulated_testing.h"

namespace treeformer {

namespace {

using namespace dense_testing;
using namespace emulated_testing;

std::vector<int32_t> RandomIndices(int64_t count, int64_t rows, unsigned seed) {
  std::mt19937 engine(seed);
  std::vector<int32_t> indices(count);
  for (int32_t& index : indices) index = static_cast<int32_t>(engine() % rows);
  return indices;
}

// --- look-ups -----------------------------------------------------------------------------------
template <int kWidth>
void ExpectLookUps(int64_t N, int64_t C) {
  SCOPED_TRACE(testing::Message() << N << " x " << C << " by " << kWidth);
  constexpr int64_t kRows[] = {23, 11, 2};
  std::vector<BFloat16> values[3];
  std::vector<double> values64[3];
  std::vector<int32_t> index[3];
  cuda::Table tables[3];
  for (int i = 0; i < 3; ++i) {
    values[i] = RandomBFloat16(kRows[i] * C, i);
    values64[i] = ToDouble(values[i]);
    index[i] = RandomIndices(N, kRows[i], 3 + i);
    tables[i] = {values[i].data(), kRows[i], index[i].data()};
  }
  std::vector<double> expected(N * C);
  reference::EmbeddingForward<double>(
      testing_util::HostContext(), On(expected, {N, C}),
      {On(values64[0], {kRows[0], C}), On(values64[1], {kRows[1], C}),
       On(values64[2], {kRows[2], C})},
      {On(index[0], {N}), On(index[1], {N}), On(index[2], {N})});
  const emulation::Grid grid{Blocks(N, cuda::kEmbeddingWarps)};
  std::vector<BFloat16> y = Unwritten(N * C), gathered = Unwritten(N * C);
  emulation::Launch(grid, cuda::kEmbeddingThreads, /*shared_bytes=*/0, {},
                    cuda::EmbeddingForwardKernel<kWidth>, y.data(), tables[0], tables[1], tables[2],
                    N, C);
  ExpectNear(ToFloat(y), expected, Rounded(expected, 5 * kRounding), "y");
  emulation::Launch(grid, cuda::kEmbeddingThreads, /*shared_bytes=*/0, {},
                    cuda::GatherRowsKernel<kWidth>, gathered.data(), tables[0], N, C);
  for (int64_t i = 0; i < N * C; ++i) {
    EXPECT_EQ(gathered[i].bits, values[0][index[0][i / C] * C + i % C].bits) << i;
  }
}

TEST(EmbeddingKernels, LookUpAndAddTheRowsOfTheTables) {
  for (const int64_t N : {1, 4, 5, 131}) {
    for (const int64_t C : {1, 17, 33}) ExpectLookUps<1>(N, C);
    for (const int64_t C : {8, 264}) ExpectLookUps<8>(N, C);
  }
}

TEST(EmbeddingKernels, AnIndexOutsideTheTableGivesNotANumber) {
  const std::vector<BFloat16> values = RandomBFloat16(3 * 8, 1);
  const std::vector<int32_t> index{0, 3, -1, 2};
  std::vector<BFloat16> y = Unwritten(4 * 8);
  emulation::Launch({}, cuda::kEmbeddingThreads, /*shared_bytes=*/0, {}, cuda::GatherRowsKernel<8>,
                    y.data(), cuda::Table{values.data(), 3, index.data()}, int64_t{4}, int64_t{8});
  for (int64_t i = 0; i < 4 * 8; ++i) {
    EXPECT_EQ(std::isnan(ToFloat(y)[i]), i / 8 == 1 || i / 8 == 2) << i;
  }
}

// --- gradients ----------------------------------------------------------------------------------
std::vector<uint64_t> SortedKeys(const std::vector<int32_t>& index,
                                 const emulation::Options& options) {
  const int64_t N = index.size(), count = cuda::KeyCount(N);
  std::vector<uint64_t> keys(count);
  emulation::Launch(emulation::Grid{Blocks(count, cuda::kSortThreads)}, cuda::kSortThreads,
                    /*shared_bytes=*/0, options, cuda::MakeKeysKernel, keys.data(), index.data(), N,
                    count);
  const auto sort_tiles = [&](int64_t first_size, int64_t last_size) {
    emulation::Launch(emulation::Grid{Blocks(count, cuda::kSortTile)}, cuda::kSortThreads,
                      cuda::kSortSharedBytes, options, cuda::SortTilesKernel, keys.data(),
                      first_size, last_size);
  };
  sort_tiles(2, cuda::kSortTile);
  for (int64_t size = 2 * cuda::kSortTile; size <= count; size *= 2) {
    for (int64_t stride = size / 2; stride >= cuda::kSortTile; stride /= 2) {
      emulation::Launch(emulation::Grid{Blocks(count / 2, cuda::kSortThreads)}, cuda::kSortThreads,
                        /*shared_bytes=*/0, options, cuda::SortStepKernel, keys.data(), stride,
                        size, count);
    }
    sort_tiles(size, size);
  }
  return keys;
}

TEST(EmbeddingKernels, KeysAreSortedByIndexAndThenByRow) {
  for (const int64_t N : {1, 2047, 2048, 2049, 8192, 9001}) {
    SCOPED_TRACE(N);
    const std::vector<int32_t> index = RandomIndices(N, 97, 1);
    std::vector<uint64_t> expected;
    for (int64_t n = 0; n < N; ++n) expected.push_back(uint64_t(index[n]) << 32 | n);
    std::sort(expected.begin(), expected.end());
    std::vector<uint64_t> keys = SortedKeys(index, {.seed = 3});
    keys.resize(N);
    EXPECT_EQ(keys, expected);
  }
}

template <int kWidth, typename T>
void ScatterAdd(std::vector<T>& dx, const std::vector<BFloat16>& dy,
                const std::vector<int32_t>& index, int64_t C, const emulation::Options& options) {
  const int64_t N = index.size(), rows = dx.size() / C;
  const std::vector<uint64_t> keys = SortedKeys(index, options);
  std::vector<float> partial(cuda::RunTiles(N) * 2 * C, NAN);
  const emulation::Grid tiles{static_cast<int>(cuda::RunTiles(N)),
                              Blocks(C, device::kWarpThreads * kWidth)};
  emulation::Launch(tiles, device::kWarpThreads, /*shared_bytes=*/0, options,
                    cuda::SumRunsKernel<kWidth, T>, dx.data(), partial.data(), dy.data(),
                    keys.data(), rows, N, C);
  emulation::Launch(tiles, device::kWarpThreads, /*shared_bytes=*/0, options,
                    cuda::AddRunsKernel<kWidth, T>, dx.data(), partial.data(), keys.data(), rows, N,
                    C);
}

std::vector<float> AsFloat(const std::vector<float>& values) { return values; }
std::vector<float> AsFloat(const std::vector<BFloat16>& values) { return ToFloat(values); }

// dx starts as random numbers; a sum has at most N + 1 of them.
template <int kWidth, typename T>
void ExpectScatter(const std::vector<int32_t>& index, int64_t rows, int64_t C) {
  const int64_t N = index.size();
  SCOPED_TRACE(testing::Message() << N << " x " << C << " into " << rows << " by " << kWidth);
  const std::vector<BFloat16> dy = RandomBFloat16(N * C, 1), before = RandomBFloat16(rows * C, 2);
  std::vector<double> expected = ToDouble(before), dy64 = ToDouble(dy);
  std::vector<int32_t> inside = index;
  reference::ScatterAddRows<double>(testing_util::HostContext(), On(expected, {rows, C}),
                                    On(dy64, {N, C}), On(inside, {N}));
  constexpr bool kRounds = std::is_same_v<T, BFloat16>;
  const double error = DotTolerance(N + 1);
  const auto tolerance = [&](int64_t i) {
    return error + (kRounds ? kBFloat16Rounding * (std::abs(expected[i]) + error) : 0);
  };
  std::vector<float> first;
  for (const unsigned seed : {1, 2}) {
    std::vector<T> dx;
    if constexpr (kRounds) dx = before;
    if constexpr (!kRounds) dx = ToFloat(before);
    ScatterAdd<kWidth>(dx, dy, index, C, {.seed = seed});
    ExpectNear(AsFloat(dx), expected, tolerance, "dx");
    if (first.empty()) first = AsFloat(dx);
    EXPECT_EQ(AsFloat(dx), first) << "the same bits in every order of blocks";
  }
}

// Tables with long runs, short runs and hardly any; sizes around a tile of keys and one of sorting.
TEST(EmbeddingKernels, GradientsOfRowsThatShareAnIndexAreAdded) {
  for (const int64_t N : {1, 63, 64, 65, 131, 1031, 2049}) {
    for (const int64_t rows : {1, 2, 23, 3001}) {
      const std::vector<int32_t> index = RandomIndices(N, rows, 1);
      ExpectScatter<1, float>(index, rows, 5);
      ExpectScatter<8, float>(index, rows, 8);
      ExpectScatter<1, BFloat16>(index, rows, 3);
      ExpectScatter<8, BFloat16>(index, rows, 16);
    }
  }
  ExpectScatter<1, float>(RandomIndices(200, 3, 2), 3, 33);
  ExpectScatter<8, float>(RandomIndices(200, 3, 2), 3, 264);
}

// Runs that end at, before and behind the border of a tile of keys, and that fill tiles.
TEST(EmbeddingKernels, RunsMayBeginAndEndAnywhereInATile) {
  for (const int64_t first : {1, 62, 63, 64, 65, 127, 128, 129, 192}) {
    for (const int64_t second : {1, 63, 64, 65, 128, 129}) {
      std::vector<int32_t> index(first, 0);
      index.insert(index.end(), second, 1);
      index.insert(index.end(), 3, 2);
      ExpectScatter<8, float>(index, 3, 8);
    }
  }
}

// Zeros whose pages come into being when they are touched.
template <typename T>
class SparseZeros {
 public:
  explicit SparseZeros(int64_t count) : bytes_(count * sizeof(T)) {
    void* data = mmap(nullptr, bytes_, PROT_READ | PROT_WRITE,
                      MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
    CHECK(data != MAP_FAILED);
    data_ = static_cast<T*>(data);
  }
  SparseZeros(const SparseZeros&) = delete;
  ~SparseZeros() { munmap(data_, bytes_); }
  T* data() const { return data_; }

 private:
  size_t bytes_;
  T* data_;
};

TEST(EmbeddingKernels, ReachRowsPast32BitsOfElements) {
  constexpr int64_t kRows = (int64_t{1} << 29) + 3, kC = 8, kLast = (kRows - 1) * kC;
  const std::vector<int32_t> index{kRows - 1, 0, kRows - 1};
  const std::vector<BFloat16> dy = RandomBFloat16(3 * kC, 1);
  const std::vector<float> dy32 = ToFloat(dy);
  {
    const SparseZeros<BFloat16> table(kRows * kC);
    std::copy_n(dy.data(), kC, table.data() + kLast);
    std::vector<BFloat16> y = Unwritten(3 * kC);
    emulation::Launch({}, cuda::kEmbeddingThreads, /*shared_bytes=*/0, {},
                      cuda::GatherRowsKernel<8>, y.data(),
                      cuda::Table{table.data(), kRows, index.data()}, int64_t{3}, kC);
    for (int64_t c = 0; c < kC; ++c) EXPECT_EQ(y[c].bits, dy[c].bits);
    for (int64_t c = 0; c < kC; ++c) EXPECT_EQ(y[kC + c].bits, 0);
  }
  const SparseZeros<float> dx(kRows * kC);
  const std::vector<uint64_t> keys = SortedKeys(index, {});
  std::vector<float> partial(2 * kC, NAN);
  emulation::Launch({}, device::kWarpThreads, /*shared_bytes=*/0, {}, cuda::SumRunsKernel<8, float>,
                    dx.data(), partial.data(), dy.data(), keys.data(), kRows, int64_t{3}, kC);
  for (int64_t c = 0; c < kC; ++c) {
    EXPECT_EQ(dx.data()[c], dy32[kC + c]);
    EXPECT_EQ(dx.data()[kLast + c], dy32[c] + dy32[2 * kC + c]);
  }
}

TEST(EmbeddingKernels, AnIndexOutsideTheTableHasNoGradient) {
  std::vector<int32_t> index(200, -1), inside{0, 2, 2};
  for (int64_t n = 100; n < 200; ++n) index[n] = 3;
  for (int64_t i = 0; i < 3; ++i) index[70 * i] = inside[i];
  std::vector<float> dx(3 * 8, 0);
  const std::vector<BFloat16> ones = ToBFloat16(std::vector<float>(200 * 8, 1));
  ScatterAdd<8>(dx, ones, index, 8, {});
  for (int64_t i = 0; i < 3 * 8; ++i) EXPECT_EQ(dx[i], (std::vector<float>{1, 0, 2}[i / 8])) << i;
}

}  // namespace

}  // namespace treeformer
