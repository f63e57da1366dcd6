#include "dist/gradient_reducer.h"

#include <algorithm>
#include <random>
#include <utility>

#include "dist/local_communicator.h"
#include "tests/dist/collectives.h"

namespace treeformer::dist {
namespace {

using Ranges = std::vector<std::pair<int64_t, int64_t>>;
using testing_util::ExpectSum;
using testing_util::OfRank;
using testing_util::Whole;

constexpr int64_t kCount = 103;  // gradients

// [0, kCount) in pieces of different sizes, front to back.
Ranges Pieces() {
  Ranges ranges;
  for (int64_t begin = 0, size = 1; begin < kCount; size = 1 + (3 * size) % 11) {
    const int64_t end = std::min(begin + size, kCount);
    ranges.emplace_back(begin, end);
    begin = end;
  }
  return ranges;
}

void Report(GradientReducer& reducer, const Ranges& ranges) {
  for (const auto& [begin, end] : ranges) reducer.Ready(begin, end);
}

template <typename T>
void ExpectReduced(const Ranges& ranges, int64_t bucket_bytes) {
  for (int size : {1, 2, 3, 8}) {
    RunLocalRanks(size, [&](Communicator& comm) {
      std::vector<T> gradients(kCount);
      GradientReducer reducer(comm, Whole(gradients), bucket_bytes);
      for (int step = 0; step < 3; ++step) {
        std::ranges::copy(OfRank<T>(comm.rank(), kCount), gradients.begin());
        Report(reducer, ranges);
        reducer.Wait(nullptr);
        ExpectSum(gradients, size);
      }
    });
  }
}

TEST(GradientReducer, SumsWhateverTheBucketSizeAndTheOrderOfReports) {
  Ranges ranges = Pieces();
  for (int64_t bucket_bytes : {1, 4, 12, 28, 400, 412, 416, 1 << 20}) {
    std::reverse(ranges.begin(), ranges.end());  // both directions in turn
    ExpectReduced<float>(ranges, bucket_bytes);
  }
  std::shuffle(ranges.begin(), ranges.end(), std::mt19937(7));
  ExpectReduced<float>(ranges, 28);
  ExpectReduced<double>(ranges, 28);
  ExpectReduced<float>({{0, kCount}}, 28);
}

TEST(GradientReducer, EmptyRangesAndAnEmptyBufferAreFine) {
  const std::unique_ptr<Communicator> comm = MakeSingleRank();
  std::vector<float> nothing;
  GradientReducer empty(*comm, Whole(nothing), 64);
  empty.Ready(0, 0);
  empty.Wait(nullptr);
  std::vector<float> gradients = {1, 2, 3};
  GradientReducer reducer(*comm, Whole(gradients), 64);
  reducer.Ready(3, 3);
  reducer.Ready(0, 3);
  reducer.Ready(0, 0);
  reducer.Wait(nullptr);
  EXPECT_EQ(gradients, (std::vector<float>{1, 2, 3}));
}

// Records what is started and done, in order.
class StartedSums : public Communicator {
 public:
  StartedSums() : Communicator(Place{}) {}

  std::vector<int64_t> started;  // elements of each sum
  int polls = 0;

 private:
  class NeverDone : public Operation {
   public:
    explicit NeverDone(int* polls) : polls_(polls) {}
    bool Test() override {
      ++*polls_;
      return false;
    }
    void Wait() override {}

   private:
    int* polls_;
  };

  std::unique_ptr<Operation> DoStart(const Call& call, cudaStream_t) override {
    EXPECT_EQ(call.kind, CallKind::kAllReduceSum);
    started.push_back(call.out.count());
    return std::make_unique<NeverDone>(&polls);
  }
  std::unique_ptr<Communicator> DoSplit(int, int, const std::string&) override { return nullptr; }
};

TEST(GradientReducer, AFullBucketStartsAtOnceAndEachFurtherReportPolls) {
  StartedSums comm;
  std::vector<float> gradients(10);
  GradientReducer reducer(comm, Whole(gradients), /*bucket_bytes=*/16);  // 4, 4, and 2 in front
  reducer.Ready(7, 10);
  EXPECT_EQ(comm.started, (std::vector<int64_t>{}));
  reducer.Ready(5, 7);
  EXPECT_EQ(comm.started, (std::vector<int64_t>{4}));
  const int polls = comm.polls;
  reducer.Ready(4, 5);
  EXPECT_GT(comm.polls, polls);
  reducer.Ready(0, 4);
  EXPECT_EQ(comm.started, (std::vector<int64_t>{4, 4, 2}));
  reducer.Wait(nullptr);
}

TEST(GradientReducer, BucketsStartFromTheBackWhateverTheOrderOfReports) {
  StartedSums comm;
  std::vector<float> gradients(10);
  GradientReducer reducer(comm, Whole(gradients), /*bucket_bytes=*/16);
  reducer.Ready(0, 6);
  EXPECT_EQ(comm.started, (std::vector<int64_t>{}));
  reducer.Ready(6, 10);
  EXPECT_EQ(comm.started, (std::vector<int64_t>{4, 4, 2}));
  reducer.Wait(nullptr);
}

class GradientReducerDeathTest : public testing::Test {
 protected:
  StartedSums comm_;
  std::vector<float> gradients_ = std::vector<float>(10);
  GradientReducer reducer_{comm_, Whole(gradients_), /*bucket_bytes=*/16};
};

TEST_F(GradientReducerDeathTest, AMissingReportDies) {
  reducer_.Ready(3, 10);
  reducer_.Ready(0, 2);
  EXPECT_DEATH(reducer_.Wait(nullptr), "not reported before Wait: 1 of bucket 1 of 3");
}

TEST_F(GradientReducerDeathTest, ADoubleReportDies) {
  reducer_.Ready(3, 7);
  EXPECT_DEATH(reducer_.Ready(6, 9), "reported a second time");
  EXPECT_DEATH(reducer_.Ready(0, 4), "reported a second time");
  EXPECT_DEATH(reducer_.Ready(4, 5), "reported a second time");
  EXPECT_DEATH(reducer_.Ready(2, 8), "reported a second time");
}

TEST_F(GradientReducerDeathTest, ASecondStreamDies) {
  const auto other = reinterpret_cast<cudaStream_t>(64);
  reducer_.Ready(3, 10, other);
  EXPECT_DEATH(reducer_.Ready(0, 3), "reported from two streams");
  reducer_.Ready(0, 3, other);
  EXPECT_DEATH(reducer_.Wait(nullptr), "another stream than the reports'");
  reducer_.Wait(other);
}

TEST_F(GradientReducerDeathTest, ARangeOutsideTheBufferDies) {
  EXPECT_DEATH(reducer_.Ready(8, 11), "of 10");
}

}  // namespace
}  // namespace treeformer::dist
