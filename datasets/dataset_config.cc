#include "datasets/dataset_config.h"

#include "kernels/base/user_error.h"

namespace treeformer::datasets {
namespace {

template <typename T>
void Require(bool good, const std::string& field, const T& value, const char* allowed) {
  RequireField(good, "data." + field, value, allowed);
}

}  // namespace

SequenceConfig MakeSequenceConfig(const config::DatasetConfig& config) {
  const config::Masking& masking = config.masking();
  const SequenceConfig sequence = {
      .length = config.sequence_length(),
      .pack = config.pack(),
      .masking = {masking.rate(), masking.mask_share(), masking.random_share(),
                  masking.whole_word(), masking.unknown_targets()}};
  Require(sequence.length >= 3 && sequence.length <= 1 << 20, "sequence_length", sequence.length,
          "3 to 1048576 tokens, [CLS] and [SEP] included");
  Require(masking.rate() > 0 && masking.rate() <= 1, "masking.rate", masking.rate(),
          "above 0, to 1");
  Require(masking.mask_share() >= 0 && masking.mask_share() <= 1, "masking.mask_share",
          masking.mask_share(), "0 to 1");
  Require(masking.random_share() >= 0 && masking.mask_share() + masking.random_share() <= 1,
          "masking.random_share", masking.random_share(), "0 to 1 - masking.mask_share");
  return sequence;
}

TextSourceOptions MakeTextSourceOptions(const config::DatasetConfig& config) {
  Require(config.zstd_window_log() >= 10 && config.zstd_window_log() <= 31, "zstd_window_log",
          config.zstd_window_log(), "10 to 31");
  return {.inputs = {config.text().begin(), config.text().end()},
          .document = static_cast<DocumentUnit>(config.document()),
          .json_field = config.json_field(),
          .replace_invalid_utf8 = config.replace_invalid_utf8(),
          .skip_bad_documents = config.skip_bad_documents(),
          .zstd_window_log = config.zstd_window_log()};
}

StoriesConfig MakeStoriesConfig(const config::DatasetConfig& config) {
  const config::Stories& stories = config.stories();
  Require(stories.count() >= 1, "stories.count", stories.count(), "1 or more");
  Require(stories.mean_words() >= 40 && stories.mean_words() <= 100000, "stories.mean_words",
          stories.mean_words(), "40 to 100000");
  return {stories.seed(), stories.count(), stories.mean_words()};
}

void ValidateDatasetConfig(const config::DatasetConfig& config) {
  const int sources = (config.text_size() > 0) + config.has_token_file() + config.has_stories();
  Require(sources <= 1, "text, token_file and stories", "given together", "one of them");
  Require(!config.has_token_file() || config.has_vocabulary(), "vocabulary", "missing",
          "the vocab.txt that data.token_file was prepared with");
  Require(!config.has_held_out_token_file() || config.has_token_file(), "held_out_token_file",
          config.held_out_token_file(), "only beside data.token_file");
  Require(config.vocabulary_size() >= 100, "vocabulary_size", config.vocabulary_size(),
          "100 or more");
  Require(config.held_out_fraction() >= 0.0001 && config.held_out_fraction() <= 0.5,
          "held_out_fraction", config.held_out_fraction(), "0.0001 to 0.5");
  Require(!config.json_field().empty(), "json_field", "empty", "the name of a field");
  MakeSequenceConfig(config);
  MakeTextSourceOptions(config);
  MakeStoriesConfig(config);
}

}  // namespace treeformer::datasets
