#include "launcher/report/metrics.h"

#include <gtest/gtest.h>

#include <limits>
#include <map>

#include "tests/datasets/full_disk.h"
#include "tests/datasets/temporary_folder.h"

namespace treeformer {

namespace {

using Json = nlohmann::ordered_json;

Json Record(int64_t step, double loss) { return {{"step", step}, {"train", {{"loss", loss}}}}; }

TEST(Metrics, ARecordIsALineAndItsNumbersAreScalars) {
  TemporaryFolder folder;
  MetricsWriter(folder.path(), 0).Write(Record(5, 0.25));
  EXPECT_EQ(folder.Read("metrics.jsonl"), "{\"step\":5,\"train\":{\"loss\":0.25}}\n");
  for (const auto& entry : std::filesystem::directory_iterator(folder.path())) {
    if (entry.path().extension() == ".jsonl") continue;
    const auto events = ReadEvents(entry.path());
    ASSERT_EQ(events.size(), 2u);
    EXPECT_EQ(events[1].summary().value_size(), 1);
    EXPECT_EQ(events[1].summary().value(0).tag(), "train/loss");
  }
}

TEST(Metrics, ARunThatGoesOnDropsWhatWasLoggedBeyondItsCheckpoint) {
  TemporaryFolder folder;
  {
    MetricsWriter writer(folder.path(), 0);
    for (int step : {1, 2, 3, 4}) writer.Write(Record(step, step));
  }
  // Killed in the middle of a line.
  folder.Write("metrics.jsonl", folder.Read("metrics.jsonl") + "{\"step\":5,\"tr");
  MetricsWriter(folder.path(), 2).Write(Record(3, 30));
  EXPECT_EQ(folder.Read("metrics.jsonl"),
            "{\"step\":1,\"train\":{\"loss\":1.0}}\n{\"step\":2,\"train\":{\"loss\":2.0}}\n"
            "{\"step\":3,\"train\":{\"loss\":30.0}}\n");
}

TEST(Metrics, ADamagedLineIsLeftOutAloneAndSaid) {
  for (const char* damaged :
       {"{\"step\":2,\"tr\x01in", "null", "{\"step\":\"x\"}", "{\"step\":null}", "{\"step\":1.5}",
        "{\"step\":18446744073709551615}", "[1]", "", "{}"}) {
    TemporaryFolder folder;
    folder.Write("metrics.jsonl", "{\"step\":1}\n" + std::string(damaged) + "\n{\"step\":3}\n");
    testing::internal::CaptureStderr();
    MetricsWriter(folder.path(), 3);
    EXPECT_NE(testing::internal::GetCapturedStderr().find("1 line is damaged"), std::string::npos);
    EXPECT_EQ(folder.Read("metrics.jsonl"), "{\"step\":1}\n{\"step\":3}\n") << damaged;
  }
}

TEST(Metrics, AFullDiskLeavesBothFilesAsTheyWere) {
  TemporaryFolder folder;
  {
    MetricsWriter writer(folder.path(), 0);
    for (int step = 1; step <= 100; ++step) writer.Write(Record(step, step));
  }
  const auto contents = [&] {
    std::map<std::string, std::string> files;
    for (const auto& entry : std::filesystem::directory_iterator(folder.path())) {
      files[entry.path().filename()] = folder.Read(entry.path().filename());
    }
    return files;
  };
  const auto before = contents();
  EXPECT_EQ(before.size(), 2u);
  for (rlim_t bytes : {0, 100, 2000}) {
    {
      const FullDisk full(bytes);
      EXPECT_REFUSED(MetricsWriter(folder.path(), 90), "cannot be");
    }
    EXPECT_EQ(contents(), before) << bytes;
  }
}

TEST(Metrics, ARunFromTheBeginningDropsEverything) {
  TemporaryFolder folder;
  MetricsWriter(folder.path(), 0).Write(Record(1, 1));
  MetricsWriter(folder.path(), 0).Write(Record(1, 2));
  EXPECT_EQ(folder.Read("metrics.jsonl"), "{\"step\":1,\"train\":{\"loss\":2.0}}\n");
}

TEST(Metrics, AFolderThatDoesNotExistIsRefused) {
  EXPECT_REFUSED(MetricsWriter("/nowhere", 0), "/nowhere");
}

}  // namespace

}  // namespace treeformer
