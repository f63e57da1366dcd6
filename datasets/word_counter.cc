#include "datasets/word_counter.h"

#include <algorithm>

namespace treeformer::datasets {

void CountWord(std::string_view word, int64_t count, WordCounts* counts) {
  const auto found = counts->find(word);
  if (found != counts->end()) {
    found->second += count;
  } else {
    counts->emplace(word, count);
  }
}

void WordCounter::Add(const WordCounts& counts) {
  for (const auto& [word, count] : counts) {
    CountWord(word, count, &counts_);
    occurrences_ += count;
  }
  if (std::ssize(counts_) > max_words_) Prune();
}

void WordCounter::Prune() {
  for (int64_t rare = 1; std::ssize(counts_) > max_words_ / 2; ++rare) {
    std::erase_if(counts_, [&](const auto& entry) {
      if (entry.second > rare) return false;
      forgotten_ += entry.second;
      return true;
    });
  }
}

std::vector<std::pair<std::string, int64_t>> WordCounter::Sorted() const {
  std::vector<std::pair<std::string, int64_t>> words(counts_.begin(), counts_.end());
  std::sort(words.begin(), words.end());
  return words;
}

}  // namespace treeformer::datasets
