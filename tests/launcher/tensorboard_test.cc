#include "launcher/report/tensorboard.h"

#include <gtest/gtest.h>

#include <filesystem>
#include <fstream>
#include <iterator>

#include "kernels/base/user_error.h"
#include "tests/datasets/temporary_folder.h"

namespace treeformer {

namespace {

std::string FirstFile(const std::string& folder) {
  return std::filesystem::directory_iterator(folder)->path();
}

std::string ReadFile(const std::string& path) {
  std::ifstream file(path, std::ios::binary);
  return {std::istreambuf_iterator<char>(file), {}};
}

TEST(Tensorboard, CrcIsThatOfTheStandard) {
  // RFC 3720, B.4, and the check value of CRC-32C.
  EXPECT_EQ(Crc32c("123456789"), 0xe3069283u);
  EXPECT_EQ(Crc32c(std::string(32, '\0')), 0x8a9136aau);
  EXPECT_EQ(Crc32c(std::string(32, '\xff')), 0x62a8ab43u);
  EXPECT_EQ(Crc32c(""), 0u);
}

TEST(Tensorboard, ARecordIsLengthCrcBytesCrc) {
  // As TensorBoard's own reader computes them.
  const std::string expected(
      "\x03\0\0\0\0\0\0\0"
      "\xb0\x99\x49\x0e"
      "abc"
      "\x6e\x57\xf1\x21",
      19);
  EXPECT_EQ(FrameRecord("abc"), expected);
}

TEST(Tensorboard, WhatIsWrittenIsReadBack) {
  TemporaryFolder folder;
  EventWriter writer(folder.path(), 0);
  writer.AddScalar("train/loss", 2.5);
  writer.AddHistogram("layer_01/keys_per_leaf", {1, 2, 2, 5});
  writer.Write(10);
  const auto events = ReadEvents(FirstFile(folder.path()));
  ASSERT_EQ(events.size(), 2u);
  EXPECT_EQ(events[0].file_version(), "brain.Event:2");
  EXPECT_EQ(events[1].step(), 10);
  EXPECT_EQ(events[1].summary().value(0).tag(), "train/loss");
  EXPECT_EQ(events[1].summary().value(0).simple_value(), 2.5f);
  const auto& histogram = events[1].summary().value(1).histo();
  EXPECT_EQ(histogram.num(), 4);
  EXPECT_EQ(histogram.min(), 1);
  EXPECT_EQ(histogram.max(), 5);
  EXPECT_EQ(histogram.sum(), 10);
  EXPECT_EQ(histogram.sum_squares(), 34);
  double counted = 0;
  for (double count : histogram.bucket()) counted += count;
  EXPECT_EQ(counted, 4);
  EXPECT_EQ(histogram.bucket_size(), histogram.bucket_limit_size());
}

TEST(Tensorboard, ADamagedRecordIsLeftOutAlone) {
  TemporaryFolder folder;
  {
    EventWriter writer(folder.path(), 0);
    for (int step : {10, 20, 30}) {
      writer.AddScalar("loss", step);
      writer.Write(step);
    }
  }
  const std::string path = FirstFile(folder.path());
  std::string bytes = ReadFile(path);
  const size_t record = bytes.size() / 4;  // all but the first are of one size
  bytes[bytes.size() - 2 * record + 20] ^= 1;
  std::ofstream(path, std::ios::binary) << bytes;
  std::vector<int64_t> steps;
  for (const auto& event : ReadEvents(path)) steps.push_back(event.step());
  EXPECT_EQ(steps, (std::vector<int64_t>{0, 10, 30}));
}

TEST(Tensorboard, EventsBeyondTheCheckpointAreCutOff) {
  TemporaryFolder folder;
  {
    EventWriter writer(folder.path(), 0);
    for (int step : {10, 20, 30}) {
      writer.AddScalar("loss", step);
      writer.Write(step);
    }
  }
  std::ofstream(FirstFile(folder.path()), std::ios::app | std::ios::binary) << "cut short";
  {
    EventWriter writer(folder.path(), 20);
    writer.AddScalar("loss", 31);
    writer.Write(30);
  }
  const auto events = ReadEvents(FirstFile(folder.path()));
  ASSERT_EQ(events.size(), 4u);
  EXPECT_EQ(events[2].step(), 20);
  EXPECT_EQ(events[3].summary().value(0).simple_value(), 31);
}

TEST(Tensorboard, ReadingEndsAtADamagedRecord) {
  TemporaryFolder folder;
  {
    EventWriter writer(folder.path(), 0);
    for (int step : {1, 2}) {
      writer.AddScalar("loss", step);
      writer.Write(step);
    }
  }
  const std::string path = FirstFile(folder.path());
  std::string bytes = ReadFile(path);
  bytes[bytes.size() - 6] ^= 1;  // in the last record's payload
  std::ofstream(path, std::ios::binary) << bytes;
  EXPECT_EQ(ReadEvents(path).size(), 2u);
}

TEST(Tensorboard, WhatFollowsADamagedHeadIsSaid) {
  TemporaryFolder folder;
  const std::string two = FrameRecord("\x10\x01") + FrameRecord("\x10\x02");  // steps 1 and 2
  std::string bytes = two + two;
  bytes[two.size()] ^= 1;  // in the length of the third
  const std::string path = folder.Write("events", bytes);
  testing::internal::CaptureStderr();
  EXPECT_EQ(ReadEvents(path).size(), 2u);
  const std::string said = testing::internal::GetCapturedStderr();
  EXPECT_NE(said.find("0 damaged records and, from byte " + std::to_string(two.size()) + " on, " +
                      std::to_string(two.size()) + " bytes"),
            std::string::npos)
      << said;
}

}  // namespace

}  // namespace treeformer
