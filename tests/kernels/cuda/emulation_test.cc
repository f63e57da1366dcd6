// The emulation itself: collectives are what device.cuh says, and wrong kernels die or show.

#include "tests/kernels/cuda/emulated_testing.h"

namespace treeformer {

namespace {

using namespace emulated_testing;
using device::kWarpThreads;

constexpr int kThreads = 96;

KERNEL(kThreads) CollectivesKernel(int* out) {
  const int lane = device::Lane();
  int* row = out + device::Thread() * 6;
  row[0] = device::ShuffleXor(lane, 5);
  row[1] = device::Shuffle(lane, 7);
  row[2] = device::ShuffleUp(lane, 3);
  row[3] = device::ShuffleDown(lane, 3);
  row[4] = static_cast<int>(device::Ballot(lane % 3 == 0) & 0xff);
  row[5] = device::WarpMax(device::WarpSum(lane) + lane);
}

TEST(Emulation, CollectivesOfAWarpMoveWhatTheySay) {
  for (const emulation::Options& options : AllOptions()) {
    std::vector<int> out(kThreads * 6, -1);
    emulation::Launch({}, kThreads, 0, options, CollectivesKernel, out.data());
    for (int thread = 0; thread < kThreads; ++thread) {
      const int lane = thread % kWarpThreads;
      const std::vector<int> expected = {
          lane ^ 5, 7, lane < 3 ? lane : lane - 3, lane < 29 ? lane + 3 : lane, 0b01001001, 527};
      EXPECT_EQ(std::vector<int>(&out[thread * 6], &out[thread * 6 + 6]), expected) << thread;
    }
  }
}

// C [16, 8] = A [16, 16] B [16, 8], with B as stored (rows k) and loaded transposed.
KERNEL(32) ProductKernel(float* c, const BFloat16* a, const BFloat16* b) {
  device::SharedArrays shared;
  BFloat16* shared_a = shared.Take<BFloat16>(16 * 16);
  BFloat16* shared_b = shared.Take<BFloat16>(16 * 16);
  const int lane = device::Lane();
  device::CopyAsync16(shared_a + lane * 8, a + lane * 8, /*copies=*/true);
  device::CopyAsync16(shared_b + lane * 8, b + lane * 8, /*copies=*/true);
  device::CommitCopies();
  device::WaitCopies<0>();
  device::BlockBarrier();
  uint32_t fragment_a[4], fragment_b[4];
  device::LoadMatrix(fragment_a, shared_a + lane % 16 * 16 + lane / 16 * 8);
  device::LoadMatrixTransposed(fragment_b, shared_b + lane % 16 * 16 + lane / 16 * 8);
  float product[4] = {};
  device::MultiplyAdd(product, fragment_a, fragment_b[0], fragment_b[1]);
  for (int i = 0; i < 4; ++i) {
    c[(lane / 4 + i / 2 * 8) * 8 + lane % 4 * 2 + i % 2] = product[i];
  }
}

TEST(Emulation, FragmentsFromSharedMemoryMultiplyAsMatrices) {
  const std::vector<BFloat16> a = ToBFloat16(dense_testing::Random<float>(256, 1));
  const std::vector<BFloat16> b = ToBFloat16(dense_testing::Random<float>(256, 2));
  std::vector<double> expected(128, 0);
  for (int i = 0; i < 16; ++i) {
    for (int j = 0; j < 8; ++j) {
      for (int k = 0; k < 16; ++k) {
        expected[i * 8 + j] +=
            double{device::ToFloat(a[i * 16 + k])} * device::ToFloat(b[k * 16 + j]);
      }
    }
  }
  for (const emulation::Options& options : AllOptions()) {
    std::vector<float> c(128, NAN);
    emulation::Launch({}, 32, 1024, options, ProductKernel, c.data(), a.data(), b.data());
    dense_testing::ExpectNear(c, expected, dense_testing::DotTolerance(16), "c");
  }
}

KERNEL(kThreads) BlockSumKernel(int* out) {
  int* shared = device::SharedArrays().Take<int>(kThreads / kWarpThreads);
  const int first = device::BlockSum<kThreads>(device::Thread(), shared);
  const int second = device::BlockSum<kThreads>(1, shared);  // at once, in the same memory
  out[device::BlockX() * kThreads + device::Thread()] = first + second * device::BlockX();
}

TEST(Emulation, BlockSumsMayFollowEachOtherInTheSameMemory) {
  for (const emulation::Options& options : AllOptions()) {
    std::vector<int> out(3 * kThreads, -1);
    emulation::Launch({3}, kThreads, 16, options, BlockSumKernel, out.data());
    for (int i = 0; i < 3 * kThreads; ++i) EXPECT_EQ(out[i], 95 * 48 + 96 * (i / kThreads));
  }
}

TEST(Emulation, RoundsToBFloat16ToNearestEven) {
  EXPECT_EQ(device::PackBFloat16(1, -2), 0xc0003f80u);
  EXPECT_EQ(device::ToBFloat16(1 + 0x1p-8f).bits, 0x3f80);  // a tie, down to even
  EXPECT_EQ(device::ToBFloat16(1 + 0x3p-8f).bits, 0x3f82);  // a tie, up to even
  EXPECT_EQ(device::ToBFloat16(1 + 0x1p-8f + 0x1p-20f).bits, 0x3f81);
  EXPECT_EQ(device::ToBFloat16(3.4e38f).bits, 0x7f80);
  EXPECT_TRUE(std::isnan(device::ToFloat(device::ToBFloat16(NAN))));
}

KERNEL(kThreads) TwoPlacesKernel() {
  if (device::Lane() < 7) {
    device::Shuffle(1, 0);
  } else {
    device::Shuffle(1, 0);
  }
}
KERNEL(kThreads) DivergentWarpKernel() {
  if (device::Lane() < 7) {
    device::WarpSum(1);
  } else {
    device::Ballot(true);
  }
}
KERNEL(kThreads) MissingThreadKernel() {
  if (device::Thread() != 40) device::BlockBarrier();
}
KERNEL(kThreads) MissingLaneKernel() {
  if (device::Thread() != 40) device::ShuffleXor(1, 1);
}
KERNEL(kThreads) TooFarKernel() { device::SharedMemory()[64 + device::Thread()] = 1; }
KERNEL(kThreads) CrookedCopyKernel(const char* from) {
  device::CopyAsync16(device::SharedMemory(), from + 4, /*copies=*/true);
}

TEST(EmulationDeathTest, WrongKernelsDie) {
  const std::vector<char> from(64);
  EXPECT_DEATH(emulation::Launch({}, kThreads, 64, {}, DivergentWarpKernel), "diverges");
  EXPECT_DEATH(emulation::Launch({}, kThreads, 64, {}, TwoPlacesKernel),
               "diverges.*Shuffle, .*emulation_test.cc:[0-9]+; lane [0-9]+ at Shuffle, ");
  EXPECT_DEATH(emulation::Launch({}, kThreads, 64, {}, MissingThreadKernel),
               "deadlock.*\n.*95 threads at BlockBarrier");
  EXPECT_DEATH(emulation::Launch({}, kThreads, 64, {}, MissingLaneKernel),
               "deadlock.*\n.*31 threads at ShuffleXor");
  EXPECT_DEATH(emulation::Launch({}, kThreads, 64, {}, TooFarKernel), "past the shared memory");
  EXPECT_DEATH(emulation::Launch({}, kThreads, 64, {}, CrookedCopyKernel, from.data()),
               "not aligned");
}

TEST(EmulationDeathTest, ALaunchOfNoBlocksDies) {
  std::vector<int> out(kThreads * 6);
  for (const emulation::Grid& grid : {emulation::Grid{0}, {1, 0}, {1, 1, 0}}) {
    EXPECT_DEATH(emulation::Launch(grid, kThreads, 0, {}, CollectivesKernel, out.data()),
                 "no blocks");
  }
}

// Thread t leaves a value for thread t + 1, without a barrier or with one.
KERNEL(kThreads) NeighbourKernel(int* out, bool barrier) {
  int* shared = device::SharedArrays().Take<int>(kThreads);
  shared[device::Thread()] = device::Thread();
  if (barrier) device::BlockBarrier();
  out[device::Thread()] = shared[(device::Thread() + 1) % kThreads];
}
// Copies 16 bytes a thread and reads them after at most `kPending` groups are left.
template <int kPending>
KERNEL(kThreads)
CopyKernel(int* out, const int* in) {
  int* shared = device::SharedArrays().Take<int>(4 * kThreads);
  device::CopyAsync16(shared + 4 * device::Thread(), in + 4 * device::Thread(), /*copies=*/true);
  device::CommitCopies();
  device::WaitCopies<kPending>();
  for (int i = 0; i < 4; ++i) out[4 * device::Thread() + i] = shared[4 * device::Thread() + i];
}

// Every warp leaves a mark and counts the marks there are.
KERNEL(kThreads) MarksKernel(int* out) {
  int* shared = device::SharedArrays().Take<int>(kThreads / kWarpThreads);
  if (device::Lane() == 0) shared[device::Warp()] = 1;
  device::WarpBarrier();
  const int lane = device::Lane();
  const bool marked = lane < kThreads / kWarpThreads && shared[lane] == 1;
  out[device::Warp()] = std::popcount(device::Ballot(marked));
}

// A lane reads what its neighbour wrote; a shuffle, which orders no memory, lies between or more.
KERNEL(kWarpThreads) ShuffleKernel(int* out, bool barrier) {
  int* shared = device::SharedArrays().Take<int>(kWarpThreads);
  const int lane = device::Lane();
  shared[lane] = lane;
  device::Shuffle(lane, 0);
  if (barrier) device::WarpBarrier();
  out[lane] = shared[(lane + 1) % kWarpThreads];
}

TEST(EmulationDeathTest, TheThreadSanitizerReportsABarrierThatIsMissing) {
  if (!emulation::kFindsRaces) GTEST_SKIP() << "built without the thread sanitizer";
  const auto run = [](const auto& kernel, int threads, bool barrier) {
    std::vector<int> out(threads);
    emulation::Launch({}, threads, 4 * threads, {}, kernel, out.data(), barrier);
    std::exit(0);
  };
  const testing::ExitedWithCode right(0), race(66);  // the sanitizer's own
  EXPECT_EXIT(run(ShuffleKernel, kWarpThreads, true), right, "");
  EXPECT_EXIT(run(ShuffleKernel, kWarpThreads, false), race, "data race");
  EXPECT_EXIT(run(NeighbourKernel, kThreads, true), right, "");
  EXPECT_EXIT(run(NeighbourKernel, kThreads, false), race, "data race");
}

TEST(Emulation, WithAnEvenSeedOneWarpAfterTheOtherRunsAsFarAsItCan) {
  if (emulation::kFindsRaces) GTEST_SKIP() << "these kernels race on purpose";
  for (const unsigned seed : {2, 4, 6}) {
    std::vector<int> marks(kThreads / kWarpThreads);
    emulation::Launch({}, kThreads, 16, {seed}, MarksKernel, marks.data());
    std::sort(marks.begin(), marks.end());
    EXPECT_EQ(marks, (std::vector<int>{1, 2, 3}));
  }
}

TEST(Emulation, AMissingBarrierAndAMissingWaitShow) {
  if (emulation::kFindsRaces) GTEST_SKIP() << "these kernels race on purpose";
  std::vector<int> right(kThreads), out(kThreads), in(4 * kThreads, 5), copy(4 * kThreads);
  for (int i = 0; i < kThreads; ++i) right[i] = (i + 1) % kThreads;
  for (const emulation::Options& options : AllOptions()) {
    emulation::Launch({}, kThreads, 4 * kThreads, options, NeighbourKernel, out.data(), true);
    EXPECT_EQ(out, right);
    emulation::Launch({}, kThreads, 4 * kThreads, options, NeighbourKernel, out.data(), false);
    EXPECT_NE(out, right);
    emulation::Launch({}, kThreads, 16 * kThreads, options, CopyKernel<0>, copy.data(), in.data());
    EXPECT_EQ(copy, in);
    emulation::Launch({}, kThreads, 16 * kThreads, options, CopyKernel<1>, copy.data(), in.data());
    EXPECT_EQ(copy == in, options.copies == emulation::Copies::kEager);
  }
}

}  // namespace

}  // namespace treeformer
