#include "launcher/run/verified_data.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "dist/local_communicator.h"
#include "tests/datasets/temporary_folder.h"
#include "tests/datasets/token_corpus.h"
#include "tests/launcher/program.h"

namespace treeformer {

namespace {

namespace fs = std::filesystem;

// Another id as the first token; size, time and inode stay as they were.
void DamageUnseen(const std::string& token_file) {
  const auto time = fs::last_write_time(token_file);
  std::fstream file(token_file, std::ios::in | std::ios::out | std::ios::binary);
  constexpr int kFirstToken = 64;
  const int byte = file.seekg(kFirstToken).get();
  file.seekp(kFirstToken).put(static_cast<char>(byte ^ 1));
  file.close();
  fs::last_write_time(token_file, time);
}

TEST(VerifiedData, WhatRank0ReadIsKnownToAllAndRemembered) {
  TemporaryFolder folder;
  const datasets::Vocabulary vocabulary = datasets::MakeVocabulary(4);
  const std::vector<std::string> paths{
      datasets::WriteTokenFile(folder.File("a"), vocabulary, {{5, 1, 6}}),
      datasets::WriteTokenFile(folder.File("b"), vocabulary, {{7}, {8}})};
  for (const bool damaged : {false, true}) {
    dist::RunLocalRanks(3, [&](dist::Communicator& communicator) {
      const auto records = VerifyTokenFiles(communicator, paths, vocabulary, folder.File("record"),
                                            /*remembers=*/true);
      ASSERT_EQ(records.size(), 2u);
      EXPECT_EQ(records[0].unknown_tokens, 1);
      EXPECT_EQ(records[1].tokens, 2);
      for (size_t i : {0, 1}) {
        EXPECT_EQ(datasets::TokenFile::Open(paths[i], vocabulary, records).record(), records[i]);
      }
    });
    if (!damaged) DamageUnseen(paths[0]);
  }
}

TEST(VerifiedData, NothingIsWrittenWhereNothingIsToBeRemembered) {
  TemporaryFolder folder;
  const datasets::Vocabulary vocabulary = datasets::MakeVocabulary(4);
  const std::string path = datasets::WriteTokenFile(folder.File("a"), vocabulary, {{5}});
  VerifyTokenFiles(*dist::MakeSingleRank(), {path}, vocabulary, folder.File("record"),
                   /*remembers=*/false);
  EXPECT_FALSE(fs::exists(folder.File("record")));
}

TEST_F(ProgramTest, TokenFilesAreReadWholeOnceAndAgainWhereVerifyDataAsks) {
  ASSERT_EQ(Status(Start("text")), 0) << folder_.Read("output");
  const std::string data = folder_.File("text/data/");
  std::string config = kSmallRun;
  const std::string stories = "stories { count: 120 mean_words: 60 } vocabulary_size: 300";
  ASSERT_NE(config.find(stories), std::string::npos);
  config.replace(config.find(stories), stories.size(),
                 "vocabulary: '" + data + "vocab.txt' token_file: '" + data +
                     "training.tokens' held_out_token_file: '" + data + "held_out.tokens'");
  folder_.Write("run.textproto", config);
  ASSERT_EQ(Status(Start("run")), 0) << folder_.Read("output");
  EXPECT_NE(folder_.Read("output").find("% of the training tokens are unknown"), std::string::npos);
  DamageUnseen(data + "training.tokens");
  EXPECT_EQ(Status(Start("run")), 0) << folder_.Read("output");
  EXPECT_EQ(Status(Start("run", {"--verify_data"})), 2);
  EXPECT_EQ(Status(Start("another")), 2);
  EXPECT_NE(folder_.Read("output").find("training.tokens is corrupt"), std::string::npos);
}

// Right checksums over counts, offsets and ids that lead out of bounds.
TEST_F(ProgramTest, ACraftedTokenFileIsRefusedInEveryRole) {
  const std::string shared = "../shared/faults/inputs/crafted/";
  if (!fs::exists(shared)) GTEST_SKIP() << shared << " is absent";
  const auto set = [](const std::string& field, const std::string& path) {
    return "--set=data." + field + "=" + fs::absolute(path).string();
  };
  const auto train = [&](const std::string& training, const std::string& held_out,
                         const std::string& run) {
    return Status(Spawn({TREEFORMER, "train", "--config=" + shared + "crafted.textproto",
                         set("vocabulary", shared + "vocab.txt"), set("token_file", training),
                         set("held_out_token_file", held_out), "--run_dir=" + folder_.File(run),
                         "--threads=1"}));
  };
  const std::string good = shared + "good.tokens";
  ASSERT_EQ(train(good, good, "good"), 0) << folder_.Read("output");
  for (const char* name : {"count_overflow", "documents_minus_1", "empty_document",
                           "first_offset_not_0", "id_far_beyond", "offset_beyond_end"}) {
    const std::string bad = shared + name + ".tokens";
    EXPECT_EQ(train(bad, good, "bad"), 2) << name;
    EXPECT_EQ(train(good, bad, "bad"), 2) << name;
    EXPECT_EQ(Status(Spawn({TREEFORMER, "evaluate", "--run_dir=" + folder_.File("good"),
                            "--data=" + bad, "--threads=1"})),
              2)
        << name;
  }
}

}  // namespace

}  // namespace treeformer
