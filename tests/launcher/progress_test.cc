#include "launcher/report/progress.h"

#include <gtest/gtest.h>

#include "launcher/report/nearest.h"

namespace treeformer {

namespace {

TEST(Progress, DurationsCountsAndBytesAreShort) {
  EXPECT_EQ(FormatDuration(41.6), "42 s");
  EXPECT_EQ(FormatDuration(60), "1:00");
  EXPECT_EQ(FormatDuration(7207), "2:00:07");
  EXPECT_EQ(FormatDuration(1.0 / 0.0), "-");
  EXPECT_EQ(FormatCount(931), "931");
  EXPECT_EQ(FormatCount(12345), "12.3k");
  EXPECT_EQ(FormatCount(4.56e6), "4.56M");
  EXPECT_EQ(FormatCount(5.5e20), "550E");
  EXPECT_EQ(FormatBytes(1024), "1.00 KiB");
  EXPECT_EQ(FormatFixed(0.1234, 2), "0.12");
}

TEST(Progress, OnlyTheRankThatSpeaksWrites) {
  testing::internal::CaptureStdout();
  Progress quiet(/*speaks=*/false);
  quiet.Line("a");
  quiet.Bar(0.5, "b");
  Progress speaks(/*speaks=*/true);
  speaks.Line("c");
  EXPECT_EQ(testing::internal::GetCapturedStdout(), "c\n");
}

TEST(Nearest, IsTheCandidateWithTheFewestEditsOrNone) {
  EXPECT_EQ(Nearest("trian", {"train", "plan"}), "train");
  EXPECT_EQ(Nearest("xyzzy", {"train", "plan"}), "");
  EXPECT_EQ(Nearest("", {"a"}), "");
  EXPECT_EQ(DidYouMean("confg", {"config"}, "--"), " (did you mean --config?)");
}

}  // namespace

}  // namespace treeformer
