#include "datasets/sequences.h"

#include <glog/logging.h>

#include <algorithm>

#include "kernels/base/user_error.h"

namespace treeformer::datasets {

Sequences::Sequences(std::span<const TokenFile> files, const Vocabulary& vocabulary, int64_t length,
                     bool pack)
    : files_(files),
      length_(length),
      piece_tokens_(length - 2),
      vocabulary_size_(vocabulary.size()),
      cls_(vocabulary.cls()),
      sep_(vocabulary.sep()),
      first_document_(1, 0),
      first_piece_(1, 0) {
  CHECK_GE(length, 3);
  for (const TokenFile& file : files) {
    first_document_.push_back(first_document_.back() + file.documents());
  }
  const int64_t documents = first_document_.back();
  first_piece_.reserve(documents + 1);
  for (int64_t i = 0; i < documents; ++i) {
    const int64_t tokens = Document(i).size();
    first_piece_.push_back(pieces() + (tokens + piece_tokens_ - 1) / piece_tokens_);
  }
  samples_ = pieces();
  if (!pack) return;

  int64_t piece = 0, used = length_;  // of the open sample; the first piece opens one
  for (int64_t i = 0; i < documents; ++i) {
    int64_t left = Document(i).size();
    for (; left > 0; left -= piece_tokens_, ++piece) {
      const int64_t tokens = std::min(left, piece_tokens_) + 2;
      if (used + tokens > length_) {
        packed_begin_.push_back(piece);
        used = 0;
      }
      used += tokens;
    }
  }
  samples_ = packed_begin_.size();
  packed_begin_.push_back(pieces());
}

std::span<const int32_t> Sequences::Document(int64_t i) const {
  const auto after = std::upper_bound(first_document_.begin(), first_document_.end(), i);
  const int64_t file = after - first_document_.begin() - 1;
  return files_[file].Document(i - first_document_[file]);
}

std::span<const int32_t> Sequences::Piece(int64_t i) const {
  const auto after = std::upper_bound(first_piece_.begin(), first_piece_.end(), i);
  const int64_t document = after - first_piece_.begin() - 1;
  const std::span<const int32_t> tokens = Document(document);
  const size_t begin = (i - first_piece_[document]) * piece_tokens_;
  const auto piece = tokens.subspan(begin, std::min<size_t>(piece_tokens_, tokens.size() - begin));
  for (const int32_t id : piece) {
    if (id >= 0 && id < vocabulary_size_) continue;
    throw UserError(Sentence("the token files (", files_.front().path(),
                             ") have changed since they were verified: document ", document,
                             " now holds id ", id, ", expected 0 to ", vocabulary_size_ - 1));
  }
  return piece;
}

void Sequences::Write(int64_t i, std::span<int32_t> tokens, std::span<int32_t> positions,
                      std::span<int32_t> document) const {
  CHECK(0 <= i && i < samples_) << i << " of " << samples_;
  const int64_t begin = packed_begin_.empty() ? i : packed_begin_[i];
  const int64_t end = packed_begin_.empty() ? i + 1 : packed_begin_[i + 1];
  size_t at = 0;
  for (int64_t p = begin; p < end; ++p) {
    const std::span<const int32_t> piece = Piece(p);
    const size_t first = at;
    tokens[at++] = cls_;
    at = std::copy(piece.begin(), piece.end(), tokens.begin() + at) - tokens.begin();
    tokens[at++] = sep_;
    for (size_t j = first; j < at; ++j) {
      positions[j] = j - first;
      document[j] = p - begin;
    }
  }
}

}  // namespace treeformer::datasets
