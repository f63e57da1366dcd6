#pragma once

// Small corpora of known tokens: a vocabulary of the five special tokens, words and pieces that
// continue words, and documents in which no token occurs twice, so that a token tells where it is.

#include <string>
#include <utility>
#include <vector>

#include "datasets/token_file.h"
#include "datasets/vocabulary.h"

namespace treeformer::datasets {

constexpr int32_t kFirstWord = 5;  // ids: [PAD] 0, [UNK] 1, [CLS] 2, [SEP] 3, [MASK] 4, words, ##

inline Vocabulary MakeVocabulary(int words, int continuations = 0) {
  std::vector<std::string> tokens{"[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]"};
  for (int i = 0; i < words; ++i) tokens.push_back("w" + std::to_string(i));
  for (int i = 0; i < continuations; ++i) tokens.push_back("##" + std::to_string(i));
  return Vocabulary(std::move(tokens), "test");
}

using Documents = std::vector<std::vector<int32_t>>;

inline Documents DistinctTokens(const std::vector<int>& lengths) {
  Documents documents;
  int32_t token = kFirstWord;
  for (const int length : lengths) {
    documents.emplace_back();
    for (int i = 0; i < length; ++i) documents.back().push_back(token++);
  }
  return documents;
}

inline std::string WriteTokenFile(const std::string& path, const Vocabulary& vocabulary,
                                  const Documents& documents) {
  TokenFileWriter writer(path, vocabulary.hash(), vocabulary.size());
  for (const auto& document : documents) {
    writer.Append(document);
    writer.EndDocument();
  }
  writer.Finish();
  return path;
}

}  // namespace treeformer::datasets
