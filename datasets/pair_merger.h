#pragma once

// PairMerger: the pieces of a WordPiece vocabulary by byte-pair encoding of words.
//                                        Sennrich et al. 2016; as Hugging Face trains BERT's
//
// Words begin as their code points, "a ##b ##c".  Again and again the most frequent
// adjacent pair of pieces becomes a piece; of equally frequent pairs the one with the
// smaller ids.  Counts of pairs are updated only in the words that hold the pair.

#include <cstdint>
#include <queue>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace treeformer::datasets {

class PairMerger {
 public:
  // `pieces` are the first pieces; more are added behind them.
  explicit PairMerger(std::vector<std::string> pieces);

  // A word as ids of the first pieces.  All words before the first merge.
  void AddWord(std::vector<int32_t> ids, int64_t count);

  // Merges until there are `size` pieces or no pair occurs `min_frequency` times.
  void Merge(int32_t size, int64_t min_frequency);

  const std::vector<std::string>& pieces() const { return pieces_; }

 private:
  struct Pair {
    int32_t left, right;
    bool operator==(const Pair&) const = default;
  };
  struct PairHash {
    size_t operator()(const Pair& pair) const;
  };
  struct Occurrences {
    int64_t count = 0;
    std::vector<int32_t> words;  // that hold or held it
  };
  struct Candidate {
    int64_t count;  // when it was queued
    Pair pair;
    bool operator<(const Candidate& other) const;  // is a later choice
  };
  struct Word {
    std::vector<int32_t> ids;
    int64_t count;
  };

  void Add(Pair pair, int64_t count, int32_t word);
  int32_t PieceOf(Pair pair);  // joined, new or known
  void MergePair(Pair pair);
  void MergeInWord(Pair pair, int32_t merged, int32_t word);

  std::vector<std::string> pieces_;
  std::unordered_map<std::string, int32_t> ids_;
  std::vector<Word> words_;
  std::unordered_map<Pair, Occurrences, PairHash> pairs_;
  std::priority_queue<Candidate> queue_;  // may hold outdated counts
  std::vector<Pair> grown_;               // pairs whose count rose in this merge
};

}  // namespace treeformer::datasets
