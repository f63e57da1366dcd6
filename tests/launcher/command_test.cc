#include "launcher/program/command.h"

#include <gflags/gflags.h>
#include <gtest/gtest.h>
#include <omp.h>

#include <sstream>

#include "dist/local_communicator.h"
#include "launcher/commands/commands.h"
#include "launcher/program/flags.h"
#include "tests/datasets/temporary_folder.h"

namespace treeformer {

namespace {

class CommandTest : public testing::Test {
 protected:
  int Run(const std::vector<std::string>& arguments) {
    return Dispatch(commands_, arguments, session_, out_);
  }

  gflags::FlagSaver saver_;  // flags are as before after each test
  int runs_ = 0;
  std::vector<Command> commands_ = {{"train",
                                     "trains",
                                     "A paragraph.\n",
                                     {"config", "set", "threads", "resume"},
                                     [this](dist::Communicator&) {
                                       ++runs_;
                                       return 75;
                                     }},
                                    {"plan", "plans", "", {"config"}, nullptr}};
  dist::MpiSession session_;
  std::ostringstream out_;
};

TEST_F(CommandTest, FlagsAreSetInEveryForm) {
  EXPECT_EQ(Run({"train", "--config=a", "--threads", "3", "--noresume"}), 75);
  EXPECT_EQ(FLAGS_config, "a");
  EXPECT_EQ(FLAGS_threads, 3);
  EXPECT_FALSE(FLAGS_resume);
  Run({"train", "-resume", "-config", "b=c"});
  EXPECT_TRUE(FLAGS_resume);
  EXPECT_EQ(FLAGS_config, "b=c");
  EXPECT_EQ(runs_, 2);
}

TEST_F(CommandTest, SetIsCollectedAndOtherFlagsAreReplaced) {
  Run({"train", "--set=a=1", "--config=x", "--set", "b=2", "--config=y"});
  EXPECT_EQ(FLAGS_set, "a=1\nb=2");
  EXPECT_EQ(FLAGS_config, "y");
}

TEST_F(CommandTest, AnUnknownCommandIsRefusedWithTheNearest) {
  EXPECT_REFUSED(Run({"trian"}), "'trian' is not a command of treeformer (did you mean train?)");
  EXPECT_REFUSED(Run({"xyzzy"}), "'xyzzy' is not a command of treeformer; `treeformer --help`");
}

TEST_F(CommandTest, AnUnknownFlagIsRefusedWithTheNearest) {
  EXPECT_REFUSED(Run({"train", "--confg=a"}),
                 "--confg is not a flag of `treeformer train` (did "
                 "you mean --config?)");
  EXPECT_REFUSED(Run({"train", "--"}), "-- is not a flag");
}

TEST_F(CommandTest, AFlagOfAnotherCommandIsRefused) {
  EXPECT_REFUSED(Run({"plan", "--threads=2"}), "--threads is not a flag of `treeformer plan`");
  EXPECT_REFUSED(Run({"train", "--v=2"}), "--v is not a flag");  // glog's
  EXPECT_REFUSED(Run({"train", "--noconfig"}), "--noconfig is not a flag");
}

TEST_F(CommandTest, AValueOfTheWrongTypeIsRefused) {
  EXPECT_REFUSED(Run({"train", "--threads=two"}), "--threads is 'two'; expected a whole number");
  EXPECT_REFUSED(Run({"train", "--threads=1.5"}), "--threads is '1.5'");
  EXPECT_REFUSED(Run({"train", "--threads=99999999999"}), "--threads is '99999999999'");
  EXPECT_REFUSED(Run({"train", "--resume=maybe"}), "expected true or false");
  EXPECT_REFUSED(Run({"train", "--threads"}), "--threads stands at the end without its value");
}

TEST_F(CommandTest, ABareWordIsRefused) {
  EXPECT_REFUSED(Run({"train", "quick_start"}), "'quick_start' is not a flag");
  EXPECT_REFUSED(Run({"train", "-"}), "'-' is not a flag");
}

TEST_F(CommandTest, HelpShowsOnlyTheFlagsOfTheCommand) {
  EXPECT_EQ(Run({"train", "--threads=2", "--help"}), 0);
  EXPECT_EQ(runs_, 0);
  EXPECT_NE(out_.str().find("A paragraph."), std::string::npos);
  EXPECT_NE(out_.str().find("--threads"), std::string::npos);
  EXPECT_EQ(out_.str().find("--suite"), std::string::npos);
  EXPECT_EQ(out_.str().find("--logtostderr"), std::string::npos);
}

TEST_F(CommandTest, WithoutACommandTheListIsPrintedAndTheStatusIsTwo) {
  EXPECT_EQ(Run({}), kBadInput);
  EXPECT_NE(out_.str().find("train     trains"), std::string::npos);
  EXPECT_EQ(Run({"--help"}), 0);
}

TEST(AllCommands, BenchTakesItsNumberOfThreadsFromTheFlag) {
  const gflags::FlagSaver saver;
  dist::MpiSession session;
  std::ostringstream out;
  auto bench = [&](const std::string& threads) {
    return Dispatch(AllCommands(), {"bench", "--suite=router", "--task=none", threads}, session,
                    out);
  };
  const int before = omp_get_max_threads();
  EXPECT_REFUSED(bench("--threads=3"), "there is no router task 'none'");
  EXPECT_EQ(omp_get_max_threads(), 3);
  EXPECT_REFUSED(bench("--threads=-1"), "--threads is -1; expected 0 to 1024");
  EXPECT_REFUSED(bench("--threads=100000"), "--threads is 100000; expected 0 to 1024");
  omp_set_num_threads(before);
}

// A flag that is named in a command but not defined would abort --help.
TEST(AllCommands, EveryCommandHasHelpAndFlagsThatExist) {
  EXPECT_EQ(AllCommands().size(), 6u);
  for (const Command& command : AllCommands()) {
    std::ostringstream out;
    PrintHelp(out, command);
    EXPECT_GT(command.help.size(), 80u) << command.name;
    for (const std::string& flag : command.flags) {
      EXPECT_NE(out.str().find("--" + flag), std::string::npos) << command.name;
    }
  }
}

}  // namespace

}  // namespace treeformer
