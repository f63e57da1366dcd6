#pragma once

// datasets/dataset.proto -> plain structs, validated once, then const.  A UserError names the
// field, its value and what is allowed.

#include <cstdint>

#include "datasets/dataset.pb.h"
#include "datasets/text_source.h"

namespace treeformer::datasets {

struct MaskingConfig {
  double rate = 0.15;
  double mask_share = 0.8;
  double random_share = 0.1;
  bool whole_word = false;
  bool unknown_targets = false;
};

struct SequenceConfig {
  int64_t length = 512;  // tokens, [CLS] and [SEP] included
  bool pack = false;
  MaskingConfig masking;
};

struct StoriesConfig {
  uint64_t seed = 1;
  int64_t count = 20000;
  int mean_words = 180;
};

SequenceConfig MakeSequenceConfig(const config::DatasetConfig& config);
TextSourceOptions MakeTextSourceOptions(const config::DatasetConfig& config);
StoriesConfig MakeStoriesConfig(const config::DatasetConfig& config);
// The rest of the message: sources that exclude each other, vocabulary, held-out share.
void ValidateDatasetConfig(const config::DatasetConfig& config);

}  // namespace treeformer::datasets
