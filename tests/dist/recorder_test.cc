#include "dist/recorder.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <sstream>
#include <string>

#include "dist/local_communicator.h"
#include "tests/dist/rank_memory.h"

namespace treeformer::dist {
namespace {

using testing_util::Whole;

constexpr CallSummary kSum{CallKind::kAllReduceSum, DType::kFloat32, 4194304, -1};

TEST(Recorder, ACallUnderWayIsDescribedByRankGroupNumberAndLayer) {
  Recorder recorder(/*rank=*/3);
  Recorder::Group& data = recorder.AddGroup("data");
  data.next = 812;
  const Recorder::InLayer in_layer(recorder, 5);
  const int64_t place = recorder.Begin(data, kSum);
  EXPECT_EQ(recorder.Describe(),
            "rank 3: all-reduce of 4,194,304 float32 (16,777,216 bytes) in group data, "
            "number 812, layer 5, started, not ended\n");
  recorder.Mark(place, Recorder::State::kAwaited);
  EXPECT_NE(recorder.Describe().find("layer 5, started, and its stream waits for it"),
            std::string::npos);
  recorder.Mark(place, Recorder::State::kEnded);
  EXPECT_NE(recorder.Describe().find("layer 5, ended"), std::string::npos);
}

TEST(Recorder, CountsAreWrittenInGroupsOfThreeDigits) {
  EXPECT_EQ(WithSeparators(0), "0");
  EXPECT_EQ(WithSeparators(999), "999");
  EXPECT_EQ(WithSeparators(1000), "1,000");
  EXPECT_EQ(WithSeparators(12345678901), "12,345,678,901");
}

TEST(Recorder, TheLayerIsThatOfTheInnermostScope) {
  Recorder recorder(0);
  Recorder::Group& group = recorder.AddGroup("world");
  const auto line = [&] {
    recorder.Mark(recorder.Begin(group, {}), Recorder::State::kEnded);
    return recorder.Describe();
  };
  {
    const Recorder::InLayer outer(recorder, 1);
    {
      const Recorder::InLayer inner(recorder, 2);
      EXPECT_EQ(line(), "rank 0: barrier in group world, number 0, layer 2, ended\n");
    }
    EXPECT_EQ(line(), "rank 0: barrier in group world, number 1, layer 1, ended\n");
  }
  EXPECT_EQ(line(), "rank 0: barrier in group world, number 2, ended\n");
}

TEST(Recorder, OnlyTheLastCallsAreKept) {
  Recorder recorder(0);
  Recorder::Group& group = recorder.AddGroup("world");
  const int64_t first = recorder.Begin(group, kSum);
  for (int i = 0; i < Recorder::kKept; ++i) {
    recorder.Mark(recorder.Begin(group, {}), Recorder::State::kEnded);
  }
  recorder.Mark(first, Recorder::State::kStarted);  // no longer kept: no other is marked
  const std::string all = recorder.DescribeAll();
  EXPECT_EQ(std::count(all.begin(), all.end(), '\n'), Recorder::kKept);
  EXPECT_EQ(all.find("not ended"), std::string::npos);
  EXPECT_EQ(all.find("rank 0: barrier in group world, number 1, ended\n"), 0u);
}

TEST(Recorder, CallsOfAllGroupsOfARankStandInItsRecorderInTheOrderInWhichTheyStarted) {
  RunLocalRanks(3, [](Communicator& world) {
    const auto group = world.Split(/*colour=*/world.rank() % 2, world.rank(), "parity");
    std::vector<float> values(1000, 1.0f);
    std::vector<int32_t> words(2);
    group->AllReduceSum(Whole(values), nullptr);
    Request sum = world.StartAllReduceSum(Whole(values), nullptr);
    Request receive =
        world.rank() == 0 ? world.StartReceive(Whole(words), 2, nullptr) : world.StartBarrier();
    if (world.rank() == 0) {
      EXPECT_NE(world.recorder().Describe().find(
                    "rank 0: receive of 2 int32 from rank 2 (8 bytes) in group world, number 2, "
                    "started, not ended\n"),
                std::string::npos)
          << world.recorder().Describe();
      world.StartBarrier().Wait();
    }
    if (world.rank() == 2) world.Send(Whole(words), 0, nullptr);
    sum.Wait();
    receive.Wait();
    std::ostringstream expected;
    const std::string rank = "rank " + std::to_string(world.rank());
    expected << rank << ": split in group world, number 0, ended\n"
             << rank << ": all-reduce of 1,000 float32 (4,000 bytes) in group parity, number 0, "
             << "ended\n"
             << rank << ": all-reduce of 1,000 float32 (4,000 bytes) in group world, number 1, "
             << "ended\n";
    EXPECT_EQ(world.recorder().DescribeAll().find(expected.str()), 0u)
        << world.recorder().DescribeAll();
    EXPECT_EQ(&group->recorder(), &world.recorder());
    EXPECT_EQ(world.recorder().Describe().find("not ended"), std::string::npos);
  });
}

}  // namespace
}  // namespace treeformer::dist
