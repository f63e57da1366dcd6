#include "datasets/count_models.h"

#include <algorithm>

namespace treeformer::datasets {
namespace {

constexpr int64_t kMaxTokens = int64_t{1} << 21;
constexpr double kStrength = 4;  // m

double Smoothed(int64_t count, int64_t total, double prior) {
  return (static_cast<double>(count) + kStrength * prior) /
         (static_cast<double>(total) + kStrength);
}

}  // namespace

CountModels::CountModels(const TokenFile& file, const Vocabulary& vocabulary)
    : size_(vocabulary.size()), mask_(vocabulary.mask()), frequency_(size_) {
  std::vector<uint64_t> left, right, both;
  for (int64_t i = 0; i < file.documents() && tokens_ < kMaxTokens; ++i) {
    std::span<const int32_t> document = file.Document(i);
    const size_t room = static_cast<size_t>(kMaxTokens - tokens_);
    document = document.first(std::min(document.size(), room));
    for (size_t k = 0; k < document.size(); ++k) {
      const uint64_t token = document[k];
      const uint64_t l = k > 0 ? document[k - 1] : vocabulary.cls();
      const uint64_t r = k + 1 < document.size() ? document[k + 1] : vocabulary.sep();
      ++frequency_[token];
      left.push_back(l * size_ + token);
      right.push_back(r * size_ + token);
      both.push_back((l * size_ + r) * size_ + token);
    }
    tokens_ += document.size();
  }
  most_frequent_ = std::max_element(frequency_.begin(), frequency_.end()) - frequency_.begin();
  left_ = Count(std::move(left));
  right_ = Count(std::move(right));
  both_ = Count(std::move(both));
}

CountModels::Counts CountModels::Count(std::vector<uint64_t> keys) {
  std::sort(keys.begin(), keys.end());
  Counts counts;
  for (size_t i = 0; i < keys.size(); ++i) {
    if (i > 0 && keys[i] == keys[i - 1]) continue;
    counts.keys.push_back(keys[i]);
    counts.before.push_back(i);
  }
  counts.before.push_back(keys.size());
  return counts;
}

CountModels::Context CountModels::Find(const Counts& counts, uint64_t context) const {
  const auto place = [&](uint64_t key) {
    return std::lower_bound(counts.keys.begin(), counts.keys.end(), key) - counts.keys.begin();
  };
  return {&counts, context * size_, static_cast<size_t>(place(context * size_)),
          static_cast<size_t>(place((context + 1) * size_))};
}

int64_t CountModels::Context::CountOf(int32_t token) const {
  const auto first = counts->keys.begin() + begin, last = counts->keys.begin() + end;
  const auto found = std::lower_bound(first, last, first_key + token);
  if (found == last || *found != first_key + token) return 0;
  const size_t i = found - counts->keys.begin();
  return counts->before[i + 1] - counts->before[i];
}

double CountModels::Frequency(int32_t token) const {
  return static_cast<double>(frequency_[token] + 1) / static_cast<double>(tokens_ + size_);
}

Prediction CountModels::FromFrequencies(int32_t target) const {
  return {Frequency(target), most_frequent_};
}

Prediction CountModels::FromNeighbours(int32_t left, int32_t right, int32_t target) const {
  if (left == mask_ && right == mask_) return FromFrequencies(target);
  const Context of_left = Find(left_, left), of_right = Find(right_, right);
  const Context of_both = Find(both_, uint64_t{static_cast<uint32_t>(left)} * size_ + right);
  const auto probability = [&](int32_t token) {
    const double frequency = Frequency(token);
    const double by_left = Smoothed(of_left.CountOf(token), of_left.Total(), frequency);
    const double by_right = Smoothed(of_right.CountOf(token), of_right.Total(), frequency);
    if (left == mask_) return by_right;
    if (right == mask_) return by_left;
    return Smoothed(of_both.CountOf(token), of_both.Total(), (by_left + by_right) / 2);
  };
  // Among the tokens that were never seen beside l or r the most frequent one is the best.
  Prediction prediction{probability(target), most_frequent_};
  double best = probability(most_frequent_);
  for (const Context* context : {&of_left, &of_right}) {
    for (size_t i = context->begin; i < context->end; ++i) {
      const auto token = static_cast<int32_t>(context->counts->keys[i] - context->first_key);
      const double value = probability(token);
      if (value <= best) continue;
      best = value;
      prediction.best = token;
    }
  }
  return prediction;
}

}  // namespace treeformer::datasets
