#pragma once

// WordCounter: how often each word occurs, in bounded memory.  Above `max_words`
// distinct words the rarest are forgotten, words seen once first, until half are
// left; what is forgotten is counted.  A word forgotten and met again starts from 0.

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <unordered_map>
#include <utility>
#include <vector>

namespace treeformer::datasets {

struct WordHash {
  using is_transparent = void;
  size_t operator()(std::string_view word) const { return std::hash<std::string_view>()(word); }
};
using WordCounts = std::unordered_map<std::string, int64_t, WordHash, std::equal_to<>>;

void CountWord(std::string_view word, int64_t count, WordCounts* counts);

class WordCounter {
 public:
  explicit WordCounter(int64_t max_words) : max_words_(max_words) {}

  void Add(const WordCounts& counts);

  int64_t occurrences() const { return occurrences_; }          // of all words
  int64_t forgotten_occurrences() const { return forgotten_; }  // of them
  std::vector<std::pair<std::string, int64_t>> Sorted() const;  // by word, bytewise

 private:
  void Prune();

  const int64_t max_words_;
  WordCounts counts_;
  int64_t occurrences_ = 0, forgotten_ = 0;
};

}  // namespace treeformer::datasets
