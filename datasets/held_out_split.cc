#include "datasets/held_out_split.h"

#include <glog/logging.h>

#include <algorithm>
#include <cmath>

namespace treeformer::datasets {
namespace {

constexpr int64_t kMaxTailTokens = 1 << 24;
constexpr int64_t kFlushTokens = 1 << 16;

}  // namespace

HeldOutSplit::HeldOutSplit(const Vocabulary& vocabulary, double fraction, int64_t min_tokens,
                           TokenFileWriter* training, TokenFileWriter* held_out)
    : vocabulary_(vocabulary),
      fraction_(fraction),
      min_tokens_(min_tokens),
      training_(training),
      held_out_(held_out) {
  CHECK(fraction > 0 && fraction <= 0.5) << fraction;
  CHECK_GT(min_tokens, 0);
}

int64_t HeldOutSplit::TailTokens() const {
  return std::min(kMaxTailTokens, static_cast<int64_t>(fraction_ * document_tokens_));
}

void HeldOutSplit::Append(std::span<const int32_t> tokens) {
  buffer_.insert(buffer_.end(), tokens.begin(), tokens.end());
  document_tokens_ += tokens.size();
  // The begin of the tail only moves forward as the document grows.
  const int64_t settled = static_cast<int64_t>(buffer_.size()) - TailTokens();
  if (!IsLong() || settled < kFlushTokens) return;
  training_->Append({buffer_.data(), static_cast<size_t>(settled)});
  buffer_.erase(buffer_.begin(), buffer_.begin() + settled);
}

void HeldOutSplit::EndDocument() {
  CHECK_GT(document_tokens_, 0);
  size_t held_out_begin = buffer_.size();
  if (IsLong()) {
    held_out_begin -= TailTokens();
    while (held_out_begin < buffer_.size() && vocabulary_.IsContinuation(buffer_[held_out_begin])) {
      ++held_out_begin;
    }
  } else {
    const int64_t period = std::llround(1 / fraction_);
    if (short_documents_++ % period == period / 2) held_out_begin = 0;
  }
  const std::span<const int32_t> tokens = buffer_;
  const bool flushed = document_tokens_ > std::ssize(buffer_);
  if (flushed || held_out_begin > 0) {
    training_->Append(tokens.first(held_out_begin));
    training_->EndDocument();
  }
  if (held_out_begin < buffer_.size()) {
    held_out_->Append(tokens.subspan(held_out_begin));
    held_out_->EndDocument();
  }
  buffer_.clear();
  document_tokens_ = 0;
}

}  // namespace treeformer::datasets
