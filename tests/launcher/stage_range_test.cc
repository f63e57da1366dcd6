#include "launcher/run/stage_range.h"

#include "tests/launcher/small_run.h"

namespace treeformer {

namespace {

BootstrapPlan Plan() { return MakeBootstrapPlan(SmallRun(), /*vocabulary=*/1000); }  // 3 stages

StageRange Parse(const std::string& text) { return ParseStages(text, Plan()); }

TEST(StageRange, IsTheWholePlanWhereNothingIsSaid) {
  EXPECT_EQ(Parse("").begin, 0);
  EXPECT_EQ(Parse("").end, 3);
  EXPECT_TRUE(Parse("").IsLast(Plan()));
}

TEST(StageRange, LeavesItsEndOut) {
  const StageRange range = Parse("1:2");
  EXPECT_EQ(range.first_step(Plan()), 6);
  EXPECT_EQ(range.last_step(Plan()), 12);
  EXPECT_FALSE(range.IsLast(Plan()));
}

TEST(StageRange, AnythingButTwoNumbersIsRefused) {
  for (const char* text : {"1", "a:2", "1:", ":2", "1:2:3", "1-2", " 1:2", "1:99999999999"}) {
    EXPECT_REFUSED(Parse(text), Sentence("--stages is '", text, "'; expected BEGIN:END"));
  }
}

TEST(StageRange, StagesThatThePlanDoesNotHaveAreRefused) {
  for (const char* text : {"1:1", "2:1", "-1:2", "0:4", "3:4"}) {
    EXPECT_REFUSED(Parse(text), Sentence("--stages is ", text,
                                         ", but the plan has the stages 0 "
                                         "to 2; expected 0 <= BEGIN < END <= 3"));
  }
}

TEST(StageRange, TellsHowToGoOn) {
  EXPECT_EQ(DescribeEnd(Parse("0:2"), Plan()),
            "stages 0 to 1 of 3 are done; go on with --stages=2:3, or without --stages");
  EXPECT_EQ(DescribeEnd(Parse("1:2"), Plan()),
            "stage 1 of 3 is done; go on with --stages=2:3, or without --stages");
}

}  // namespace

}  // namespace treeformer
