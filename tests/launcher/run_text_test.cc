#include "launcher/run/run_text.h"

#include <fcntl.h>
#include <sys/stat.h>

#include "tests/datasets/temporary_folder.h"

namespace treeformer {

namespace {

// A text of one file that was changed on 2026-01-02, 3:04:05 and 6 nanoseconds.
class RunTextTest : public testing::Test {
 protected:
  RunTextTest() {
    Touch(1767323045);
    config_.add_text(path_);
  }
  void Touch(time_t seconds) {
    const timespec times[] = {{seconds, 6}, {seconds, 6}};
    ASSERT_EQ(utimensat(AT_FDCWD, path_.c_str(), times, 0), 0);
  }
  std::string Source() const { return DescribeSource(config_, ListRunText(config_)); }
  bool IsSourceNow(const std::string& source) const {
    return IsSource(source, config_, ListRunText(config_));
  }

  const TemporaryFolder folder_;
  const std::string path_ = folder_.Write("story.txt", "Once.");
  config::DatasetConfig config_;
};

TEST_F(RunTextTest, TheSourceNamesEachFileWithItsSizeAndTime) {
  const std::string line = path_ + " 5 bytes, modified 2026-01-02T03:04:05.000000006Z\n";
  EXPECT_TRUE(Source().ends_with(line)) << Source();
  EXPECT_TRUE(IsSourceNow(Source()));
}

TEST_F(RunTextTest, AnotherTimeIsAnotherSource) {
  const std::string before = Source();
  Touch(1767323046);
  EXPECT_FALSE(IsSourceNow(before));
}

// The clock of libstdc++'s file system counts from 2174.
TEST_F(RunTextTest, ASourceWithCountedTimesIsReadToo) {
  std::string old = Source();
  const size_t place = old.find("modified ");
  old.replace(place, old.size() - place,
              Sentence("time ", 1767323045'000000006 - 6437664000'000000000, "\n"));
  EXPECT_TRUE(IsSourceNow(old)) << old;
  Touch(1767323046);
  EXPECT_FALSE(IsSourceNow(old));
}

TEST_F(RunTextTest, TextThatIsGoneIsRefusedWhereItIsNeeded) {
  config_.add_text(folder_.File("gone"));
  const RunText text = ListRunText(config_);
  EXPECT_TRUE(text.files.empty());
  EXPECT_REFUSED(DescribeSource(config_, text), "gone");
}

}  // namespace

}  // namespace treeformer
