#pragma once

// Vocabulary: the word pieces of a Hugging Face vocab.txt, one a line; the id is
// the line, from 0.  A piece that continues a word begins with "##".  Immutable;
// may be read by many threads at once.
//
// It is read as by Hugging Face.  A blank line is a token that no text has.  Where a token stands
// twice, the last line counts, and the ids of the others are never met.  A byte order mark, and a
// carriage return at the end of a line, are no part of a token.
//
// A file that cannot be read, is no regular file, is empty or larger than 1 GiB, or lacks
// [PAD], [UNK], [CLS], [SEP] or [MASK] is a UserError.

#include <cstdint>
#include <string>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace treeformer::datasets {

class Vocabulary {
 public:
  static constexpr int32_t kNone = -1;

  static Vocabulary Load(const std::string& path);
  // `source` stands in the sentence of a refusal.
  Vocabulary(std::vector<std::string> tokens, const std::string& source);
  Vocabulary(Vocabulary&&) = default;
  Vocabulary& operator=(Vocabulary&&) = default;

  void Save(const std::string& path) const;

  int32_t size() const { return tokens_.size(); }
  // XXH3-64 of the tokens, each followed by a newline: line endings do not matter.
  uint64_t hash() const { return hash_; }
  const std::string& Token(int32_t id) const { return tokens_[id]; }

  int32_t pad() const { return pad_; }
  int32_t unknown() const { return unknown_; }
  int32_t cls() const { return cls_; }
  int32_t sep() const { return sep_; }
  int32_t mask() const { return mask_; }
  bool IsSpecial(int32_t id) const {
    return id == pad_ || id == unknown_ || id == cls_ || id == sep_ || id == mask_;
  }
  bool IsContinuation(int32_t id) const { return tokens_[id].starts_with("##"); }

  int32_t Find(std::string_view token) const;  // as it stands in the file, or kNone
  // The piece `text` at the begin of a word, or (without its "##") inside one; or kNone.
  int32_t FindPiece(std::string_view text, bool continuation) const;
  size_t longest_token_bytes() const { return longest_token_bytes_; }

 private:
  struct Hash {
    size_t operator()(std::string_view text) const;
  };
  using Ids = std::unordered_map<std::string_view, int32_t, Hash>;  // views into tokens_

  int32_t Special(const std::string& token, const std::string& source) const;

  std::vector<std::string> tokens_;
  Ids ids_;            // every token
  Ids continuations_;  // those with "##", without it
  uint64_t hash_ = 0;
  size_t longest_token_bytes_ = 0;
  int32_t pad_, unknown_, cls_, sep_, mask_;
};

}  // namespace treeformer::datasets
