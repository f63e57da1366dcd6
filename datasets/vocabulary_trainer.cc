#include "datasets/vocabulary_trainer.h"

#include <algorithm>
#include <chrono>
#include <map>
#include <numeric>
#include <optional>
#include <set>
#include <string>
#include <utility>
#include <vector>

#include "datasets/basic_tokenizer.h"
#include "datasets/ordered_pipeline.h"
#include "datasets/pair_merger.h"
#include "datasets/utf8.h"
#include "datasets/word_counter.h"
#include "datasets/wordpiece.h"
#include "kernels/base/user_error.h"

namespace treeformer::datasets {
namespace {

struct Word {
  std::u32string characters;
  int64_t count;
};

struct CountedBlock {
  WordCounts counts;
  int64_t text_bytes = 0;
  int64_t bytes_read = 0;  // on disk, up to the end of the block
};

void CheckOptions(const VocabularyTrainerOptions& options) {
  const auto check = [](const char* name, int64_t value, int64_t least) {
    if (value >= least) return;
    throw UserError(Sentence(name, " is ", value, ", expected ", least, " or more"));
  };
  check("size", options.size, 6);
  check("min_frequency", options.min_frequency, 1);
  check("alphabet", options.max_alphabet, 0);
  check("max_words", options.max_words, 1);
}

// Words do not cross pieces: text is cut after white space.
CountedBlock CountWords(const TextBlock& block, BasicTokenizer* tokenizer, Words* words) {
  CountedBlock counted;
  counted.text_bytes = block.text.size();
  counted.bytes_read = block.bytes_read;
  for (size_t i = 0; i < block.pieces.size(); ++i) {
    tokenizer->Tokenize(block.Text(i), words);
    for (size_t j = 0; j < words->size(); ++j) CountWord((*words)[j], 1, &counted.counts);
  }
  return counted;
}

WordCounter CountText(const VocabularyTrainerOptions& options,
                      VocabularyTrainerStatistics* statistics, const PrepareProgress& progress) {
  const int threads = WorkingThreads(options.threads);
  TextSource source(options.text);
  std::vector<BasicTokenizer> tokenizers(threads, BasicTokenizer(options.lower_case));
  std::vector<Words> words(threads);
  WordCounter counter(options.max_words);
  OrderedPipeline<TextBlock, CountedBlock> pipeline(threads);
  pipeline.Run([&](TextBlock* block) { return source.Next(block); },
               [&](int thread, const TextBlock& block) {
                 return CountWords(block, &tokenizers[thread], &words[thread]);
               },
               [&](const CountedBlock& block) {
                 counter.Add(block.counts);
                 statistics->text_bytes += block.text_bytes;
                 if (progress) progress(block.bytes_read, source.total_bytes());
               });
  statistics->text = source.report();
  return counter;
}

std::vector<Word> SpellWords(const WordCounter& counter) {
  std::vector<Word> words;
  for (const auto& [text, count] : counter.Sorted()) {
    Word word{.characters = {}, .count = count};
    for (size_t i = 0; i < text.size();) word.characters.push_back(NextCodePoint(text, &i));
    words.push_back(std::move(word));
  }
  return words;
}

using CharacterCounts = std::vector<std::pair<int64_t, char32_t>>;  // (-count, character), sorted

int64_t AlphabetSize(const VocabularyTrainerOptions& options, const CharacterCounts& counts) {
  if (options.max_alphabet > 0) return options.max_alphabet;
  constexpr int64_t kLeast = 1000;
  constexpr double kRareShare = 0.0005;
  const auto add = [](double sum, const auto& entry) { return sum - entry.first; };
  const double rare = kRareShare * std::accumulate(counts.begin(), counts.end(), 0.0, add);
  int64_t size = std::ssize(counts);
  double left_out = 0;
  while (size > kLeast && (left_out -= counts[size - 1].first) <= rare) --size;
  return std::min(size, std::max<int64_t>(kLeast, options.size / 2));
}

// The most frequent characters; of equally frequent ones those of smaller code point.
std::set<char32_t> FindAlphabet(const VocabularyTrainerOptions& options,
                                const std::vector<Word>& words) {
  std::map<char32_t, int64_t> counts;
  for (const Word& word : words) {
    for (const char32_t c : word.characters) counts[c] += word.count;
  }
  CharacterCounts order;
  for (const auto& [c, count] : counts) order.emplace_back(-count, c);
  std::sort(order.begin(), order.end());
  order.resize(std::min<size_t>(order.size(), AlphabetSize(options, order)));
  std::set<char32_t> alphabet;
  for (const auto& entry : order) alphabet.insert(entry.second);
  return alphabet;
}

// Keeps the words that can be spelt; returns the occurrences of the others.
int64_t LeaveOut(const std::set<char32_t>& alphabet, std::vector<Word>* words) {
  int64_t left_out = 0;
  std::erase_if(*words, [&](const Word& word) {
    const bool keep = std::ssize(word.characters) <= WordPiece::kMaxWordCodePoints &&
                      std::all_of(word.characters.begin(), word.characters.end(),
                                  [&](char32_t c) { return alphabet.contains(c); });
    if (!keep) left_out += word.count;
    return !keep;
  });
  return left_out;
}

std::vector<std::string> TrainPieces(const VocabularyTrainerOptions& options,
                                     const std::set<char32_t>& alphabet,
                                     const std::vector<Word>& words) {
  std::vector<std::string> pieces{"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"};
  std::map<char32_t, int32_t> first, inside;  // ids of "c" and "##c"
  for (const char32_t c : alphabet) {
    first[c] = pieces.size();
    AppendUtf8(c, &pieces.emplace_back());
  }
  for (const Word& word : words) {
    for (size_t i = 1; i < word.characters.size(); ++i) inside[word.characters[i]] = 0;
  }
  for (auto& [c, id] : inside) {
    id = pieces.size();
    AppendUtf8(c, &pieces.emplace_back("##"));
  }
  if (options.size < std::ssize(pieces)) {
    throw UserError(Sentence("size is ", options.size, ", expected ", pieces.size(),
                             " or more: the special tokens and the characters of the text"));
  }
  PairMerger merger(std::move(pieces));
  for (const Word& word : words) {
    std::vector<int32_t> ids;
    for (const char32_t c : word.characters) ids.push_back((ids.empty() ? first : inside)[c]);
    merger.AddWord(std::move(ids), word.count);
  }
  merger.Merge(options.size, options.min_frequency);
  return merger.pieces();
}

}  // namespace

Vocabulary TrainVocabulary(const VocabularyTrainerOptions& options,
                           VocabularyTrainerStatistics* statistics,
                           const PrepareProgress& progress) {
  CheckOptions(options);
  const auto start = std::chrono::steady_clock::now();
  const WordCounter counter = CountText(options, statistics, progress);
  if (counter.occurrences() == 0) throw UserError("the input holds no words to train on");
  std::vector<Word> words = SpellWords(counter);
  const std::set<char32_t> alphabet = FindAlphabet(options, words);
  statistics->left_out_words = LeaveOut(alphabet, &words);
  statistics->words = counter.occurrences();
  statistics->forgotten_words = counter.forgotten_occurrences();
  statistics->distinct_words = words.size();
  statistics->characters = alphabet.size();
  Vocabulary vocabulary(TrainPieces(options, alphabet, words), "trained");
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
  statistics->seconds = elapsed.count();
  return vocabulary;
}

}  // namespace treeformer::datasets
