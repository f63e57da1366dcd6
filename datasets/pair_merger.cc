#include "datasets/pair_merger.h"

#include <glog/logging.h>

#include <utility>

namespace treeformer::datasets {

size_t PairMerger::PairHash::operator()(const Pair& pair) const {
  const uint64_t key = static_cast<uint64_t>(pair.left) << 32 | static_cast<uint32_t>(pair.right);
  return key * 0x9E3779B97F4A7C15 >> 16;  // Knuth's multiplicative hash
}

bool PairMerger::Candidate::operator<(const Candidate& other) const {
  if (count != other.count) return count < other.count;
  return std::pair(pair.left, pair.right) > std::pair(other.pair.left, other.pair.right);
}

PairMerger::PairMerger(std::vector<std::string> pieces) : pieces_(std::move(pieces)) {
  for (size_t i = 0; i < pieces_.size(); ++i) ids_.emplace(pieces_[i], i);
}

void PairMerger::AddWord(std::vector<int32_t> ids, int64_t count) {
  const int32_t word = words_.size();
  for (size_t i = 0; i + 1 < ids.size(); ++i) Add({ids[i], ids[i + 1]}, count, word);
  words_.push_back({std::move(ids), count});
}

void PairMerger::Add(Pair pair, int64_t count, int32_t word) {
  Occurrences& occurrences = pairs_[pair];
  occurrences.count += count;
  if (occurrences.words.empty() || occurrences.words.back() != word) {
    occurrences.words.push_back(word);
  }
}

void PairMerger::Merge(int32_t size, int64_t min_frequency) {
  for (const auto& [pair, occurrences] : pairs_) queue_.push({occurrences.count, pair});
  while (std::ssize(pieces_) < size && !queue_.empty()) {
    const Candidate best = queue_.top();
    queue_.pop();
    const auto found = pairs_.find(best.pair);
    if (found == pairs_.end()) continue;
    const int64_t count = found->second.count;
    if (count < min_frequency) continue;
    if (count < best.count) {
      queue_.push({count, best.pair});  // it shrank since: wait for its turn
    } else if (count == best.count) {
      MergePair(best.pair);
    }  // if it grew, its newer entry stood before this one
  }
}

int32_t PairMerger::PieceOf(Pair pair) {
  std::string_view right = pieces_[pair.right];
  CHECK(right.starts_with("##")) << right;
  right.remove_prefix(2);
  const auto [entry, is_new] =
      ids_.emplace(pieces_[pair.left] + std::string(right), static_cast<int32_t>(pieces_.size()));
  if (is_new) pieces_.push_back(entry->first);
  return entry->second;
}

void PairMerger::MergePair(Pair pair) {
  const int32_t merged = PieceOf(pair);
  const std::vector<int32_t> words = std::move(pairs_[pair].words);
  grown_.clear();
  for (const int32_t word : words) MergeInWord(pair, merged, word);
  pairs_.erase(pair);
  for (const Pair& grown : grown_) {
    const auto found = pairs_.find(grown);
    if (found != pairs_.end() && found->second.count > 0) {
      queue_.push({found->second.count, grown});
    }
  }
}

void PairMerger::MergeInWord(Pair pair, int32_t merged, int32_t word) {
  std::vector<int32_t>& ids = words_[word].ids;
  const int64_t count = words_[word].count;
  const auto replace = [&](Pair before, Pair after) {
    pairs_[before].count -= count;
    Add(after, count, word);
    grown_.push_back(after);
  };
  size_t out = 0;  // ids[0, out) is the merged word so far
  for (size_t i = 0; i < ids.size(); ++i) {
    if (i + 1 == ids.size() || Pair{ids[i], ids[i + 1]} != pair) {
      ids[out++] = ids[i];
      continue;
    }
    if (out > 0) replace({ids[out - 1], pair.left}, {ids[out - 1], merged});
    if (i + 2 < ids.size()) replace({pair.right, ids[i + 2]}, {merged, ids[i + 2]});
    ids[out++] = merged;
    ++i;
  }
  ids.resize(out);
}

}  // namespace treeformer::datasets
