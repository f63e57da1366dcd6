#include "datasets/dataset_config.h"

#include <google/protobuf/text_format.h>
#include <gtest/gtest.h>

#include "tests/datasets/temporary_folder.h"

namespace treeformer::datasets {
namespace {

config::DatasetConfig Parse(const std::string& text) {
  config::DatasetConfig config;
  EXPECT_TRUE(google::protobuf::TextFormat::ParseFromString(text, &config)) << text;
  return config;
}

void Validate(const std::string& text) { ValidateDatasetConfig(Parse(text)); }

TEST(DatasetConfig, DefaultsAreThoseOfBertOnTheBuiltInStories) {
  const auto config = Parse("");
  ValidateDatasetConfig(config);
  const SequenceConfig sequence = MakeSequenceConfig(config);
  EXPECT_EQ(sequence.length, 512);
  EXPECT_FALSE(sequence.pack);
  EXPECT_EQ(sequence.masking.rate, 0.15);
  EXPECT_EQ(sequence.masking.mask_share, 0.8);
  EXPECT_EQ(sequence.masking.random_share, 0.1);
  EXPECT_FALSE(sequence.masking.whole_word);
  EXPECT_EQ(MakeStoriesConfig(config).count, 20000);
  EXPECT_TRUE(MakeTextSourceOptions(config).inputs.empty());
}

TEST(DatasetConfig, FieldsArriveInTheStructs) {
  const auto config = Parse(R"(
      text: "a" text: "b" document: BLANK_LINE json_field: "body" replace_invalid_utf8: true
      skip_bad_documents: true zstd_window_log: 27
      sequence_length: 64 pack: true
      masking { rate: 0.2 mask_share: 0.5 random_share: 0.5 whole_word: true })");
  ValidateDatasetConfig(config);
  const SequenceConfig sequence = MakeSequenceConfig(config);
  EXPECT_EQ(sequence.length, 64);
  EXPECT_TRUE(sequence.pack);
  EXPECT_EQ(sequence.masking.rate, 0.2);
  EXPECT_EQ(sequence.masking.mask_share, 0.5);
  EXPECT_EQ(sequence.masking.random_share, 0.5);
  EXPECT_TRUE(sequence.masking.whole_word);
  const TextSourceOptions text = MakeTextSourceOptions(config);
  EXPECT_EQ(text.inputs, (std::vector<std::string>{"a", "b"}));
  EXPECT_EQ(text.document, DocumentUnit::kBlankLine);
  EXPECT_EQ(text.json_field, "body");
  EXPECT_TRUE(text.replace_invalid_utf8);
  EXPECT_TRUE(text.skip_bad_documents);
  EXPECT_EQ(text.zstd_window_log, 27);
  EXPECT_EQ(MakeTextSourceOptions(Parse("document: LINE")).document, DocumentUnit::kLine);
  const StoriesConfig stories =
      MakeStoriesConfig(Parse("stories { seed: 5 count: 6 mean_words: 70 }"));
  EXPECT_EQ(stories.seed, 5u);
  EXPECT_EQ(stories.count, 6);
  EXPECT_EQ(stories.mean_words, 70);
}

TEST(DatasetConfig, RefusalsNameFieldValueAndWhatIsAllowed) {
  EXPECT_REFUSED(Validate("sequence_length: 2"), "data.sequence_length is 2; allowed: 3 to");
  EXPECT_REFUSED(Validate("sequence_length: 2000000"), "data.sequence_length is 2000000");
  EXPECT_REFUSED(Validate("masking { rate: 0 }"), "data.masking.rate is 0; allowed: above 0");
  EXPECT_REFUSED(Validate("masking { rate: 1.5 }"), "data.masking.rate is 1.5");
  EXPECT_REFUSED(Validate("masking { rate: nan }"), "data.masking.rate is nan");
  EXPECT_REFUSED(Validate("masking { mask_share: -0.1 }"), "data.masking.mask_share is -0.1");
  EXPECT_REFUSED(Validate("masking { random_share: 0.3 }"), "data.masking.random_share is 0.3");
  EXPECT_REFUSED(Validate("stories { count: 0 }"), "data.stories.count is 0; allowed: 1 or more");
  EXPECT_REFUSED(Validate("stories { mean_words: 3 }"), "data.stories.mean_words is 3");
  EXPECT_REFUSED(Validate("held_out_fraction: 0.9"), "data.held_out_fraction is 0.9");
  EXPECT_REFUSED(Validate("vocabulary_size: 10"), "data.vocabulary_size is 10");
  EXPECT_REFUSED(Validate("zstd_window_log: 32"), "data.zstd_window_log is 32; allowed: 10 to 31");
  EXPECT_REFUSED(Validate("json_field: \"\""), "data.json_field is empty");
}

TEST(DatasetConfig, SourcesExcludeEachOther) {
  EXPECT_REFUSED(Validate("text: 'a' stories {}"), "allowed: one of them");
  EXPECT_REFUSED(Validate("text: 'a' token_file: 'b' vocabulary: 'c'"), "allowed: one of them");
  EXPECT_REFUSED(Validate("token_file: 'b'"), "data.vocabulary is missing");
  EXPECT_REFUSED(Validate("text: 'a' held_out_token_file: 'b'"), "data.held_out_token_file is b");
  Validate("token_file: 'b' held_out_token_file: 'c' vocabulary: 'v'");
}

}  // namespace
}  // namespace treeformer::datasets
