#include "datasets/masking.h"

#include <Random123/philox.h>
#include <glog/logging.h>

#include <algorithm>
#include <cmath>

namespace datasets {
namespace {

// Four random numbers for one position.
r123::Philox4x32::ctr_type Draw(const MaskKey& key, int64_t position) {
  const auto low = [](uint64_t x) { return static_cast<uint32_t>(x); };
  const auto high = [](uint64_t x) { return static_cast<uint32_t>(x >> 32); };
  CHECK_LT(key.epoch, int64_t{1} << 12);
  const r123::Philox4x32::ctr_type counter = {
      {low(key.sample), high(key.sample) | low(key.epoch) << 20, low(position), 0x6d61736b}};
  return r123::Philox4x32()(counter, {{low(key.seed), high(key.seed)}});
}

double Uniform(uint32_t bits) { return bits * 0x1p-32; }

struct Word {
  uint32_t order;  // random
  int32_t begin;
  int32_t pieces;
};

}  // namespace

Masker::Masker(const Vocabulary& vocabulary, const MaskingConfig& config)
    : config_(config), mask_(vocabulary.mask()) {
  for (int32_t id = 0; id < vocabulary.size(); ++id) {
    special_.push_back(vocabulary.IsSpecial(id));
    continuation_.push_back(vocabulary.IsContinuation(id));
    if (!special_.back()) ordinary_.push_back(id);
  }
}

int64_t Masker::Count(int64_t ordinary) const {
  if (ordinary <= 0) return 0;
  return std::max<int64_t>(1, std::llround(config_.rate * ordinary));
}

std::vector<int32_t> Masker::Choose(std::span<const int32_t> tokens, const MaskKey& key) const {
  std::vector<Word> words;
  int64_t ordinary = 0;
  for (size_t i = 0; i < tokens.size(); ++i) {
    if (special_[tokens[i]]) continue;
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
  std::sort(chosen.begin(), chosen.end());
  return chosen;
}

void Masker::Mask(std::span<int32_t> tokens, const MaskKey& key, std::vector<int32_t>* positions,
                  std::vector<int32_t>* originals) const {
  *positions = Choose(tokens, key);
  originals->clear();
  for (int32_t position : *positions) {
    originals->push_back(tokens[position]);
    const auto draw = Draw(key, position);
    const double fate = Uniform(draw[1]);
    if (fate < config_.mask_share) {
      tokens[position] = mask_;
    } else if (fate < config_.mask_share + config_.random_share) {
      tokens[position] = ordinary_[static_cast<size_t>(Uniform(draw[2]) * ordinary_.size())];
    }
  }
}

}  // namespace datasets
