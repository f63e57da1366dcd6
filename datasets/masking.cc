#include "datasets/masking.h"

#include <algorithm>
#include <array>
#include <cmath>

#include "datasets/random.h"

namespace treeformer::datasets {
namespace {

// Four random numbers for one position.
std::array<uint32_t, 4> Draw(const SampleKey& key, int64_t position) {
  return RandomNumbers(key.seed, RandomStream::kMasks, key.sample, key.epoch, position);
}

struct Word {
  uint32_t order;  // random
  int32_t begin;
  int32_t pieces;
};

}  // namespace

Masker::Masker(const Vocabulary& vocabulary, const MaskingConfig& config)
    : config_(config), mask_(vocabulary.mask()) {
  for (int32_t id = 0; id < vocabulary.size(); ++id) {
    const bool special = vocabulary.IsSpecial(id);
    never_.push_back(special && !(config.unknown_targets && id == vocabulary.unknown()));
    continuation_.push_back(vocabulary.IsContinuation(id));
    if (!special) ordinary_.push_back(id);
  }
}

int64_t Masker::Count(int64_t ordinary) const {
  if (ordinary <= 0) return 0;
  return std::max<int64_t>(1, std::llround(config_.rate * ordinary));
}

std::vector<int32_t> Masker::Choose(std::span<const int32_t> tokens, const SampleKey& key) const {
  std::vector<Word> words;
  int64_t ordinary = 0;
  for (size_t i = 0; i < tokens.size(); ++i) {
    if (never_[tokens[i]]) continue;
    ++ordinary;
    const bool continues = config_.whole_word && continuation_[tokens[i]] && !words.empty() &&
                           words.back().begin + words.back().pieces == static_cast<int32_t>(i);
    if (continues) {
      ++words.back().pieces;
    } else {
      words.push_back({Draw(key, i)[0], static_cast<int32_t>(i), 1});
    }
  }
  std::sort(words.begin(), words.end(), [](const Word& a, const Word& b) {
    return a.order != b.order ? a.order < b.order : a.begin < b.begin;
  });
  const int64_t count = Count(ordinary);
  std::vector<int32_t> chosen;
  for (const Word& word : words) {
    if (static_cast<int64_t>(chosen.size()) + word.pieces > count) continue;
    for (int32_t i = 0; i < word.pieces; ++i) chosen.push_back(word.begin + i);
  }
  if (chosen.empty() && !words.empty()) {
    for (int32_t i = 0; i < count; ++i) chosen.push_back(words.front().begin + i);
  }
  std::sort(chosen.begin(), chosen.end());
  return chosen;
}

void Masker::Mask(std::span<int32_t> tokens, const SampleKey& key, std::vector<int32_t>* positions,
                  std::vector<int32_t>* originals) const {
  *positions = Choose(tokens, key);
  originals->clear();
  for (int32_t position : *positions) {
    originals->push_back(tokens[position]);
    const auto draw = Draw(key, position);
    const double fate = ToUniform(draw[1]);
    if (fate < config_.mask_share) {
      tokens[position] = mask_;
    } else if (fate < config_.mask_share + config_.random_share) {
      tokens[position] = ordinary_[static_cast<size_t>(ToUniform(draw[2]) * ordinary_.size())];
    }
  }
}

}  // namespace treeformer::datasets
