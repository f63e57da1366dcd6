#include "datasets/wordpiece.h"

#include <xxhash.h>

#include <algorithm>

namespace treeformer::datasets {
namespace {

constexpr size_t kSlots = 1 << 17;  // a power of two
constexpr size_t kMaxUsedSlots = kSlots / 2;
constexpr size_t kMaxCachedWordBytes = 64;

bool IsContinuationByte(char c) { return (c & 0xC0) == 0x80; }

}  // namespace

WordPiece::WordPiece(const Vocabulary& vocabulary) : vocabulary_(vocabulary), slots_(kSlots) {}

void WordPiece::Encode(std::string_view word, std::vector<int32_t>* ids) {
  if (word.size() > kMaxCachedWordBytes) return Split(word, ids);
  const uint64_t hash = XXH3_64bits(word.data(), word.size());
  size_t i = hash % kSlots;
  for (; slots_[i].word_bytes != 0; i = (i + 1) % kSlots) {
    const Slot& slot = slots_[i];
    if (slot.hash != hash) continue;
    if (word != std::string_view(cached_words_).substr(slot.word_begin, slot.word_bytes)) continue;
    const auto begin = cached_ids_.begin() + slot.ids_begin;
    ids->insert(ids->end(), begin, begin + slot.ids_count);
    return;
  }
  const size_t before = ids->size();
  Split(word, ids);
  Remember(&slots_[i], hash, word, ids->data() + before, ids->size() - before);
}

void WordPiece::Remember(Slot* slot, uint64_t hash, std::string_view word, const int32_t* ids,
                         size_t count) {
  if (word.empty()) return;
  if (used_slots_ == kMaxUsedSlots) {  // forget everything: frequent words return at once
    std::fill(slots_.begin(), slots_.end(), Slot{});
    used_slots_ = 0;
    cached_words_.clear();
    cached_ids_.clear();
  }
  *slot = {hash, static_cast<uint32_t>(cached_words_.size()), static_cast<uint32_t>(word.size()),
           static_cast<uint32_t>(cached_ids_.size()), static_cast<uint32_t>(count)};
  cached_words_.append(word);
  cached_ids_.insert(cached_ids_.end(), ids, ids + count);
  ++used_slots_;
}

void WordPiece::Split(std::string_view word, std::vector<int32_t>* ids) const {
  const size_t before = ids->size();
  const auto code_points =
      word.size() - std::count_if(word.begin(), word.end(), IsContinuationByte);
  const bool too_long = static_cast<int64_t>(code_points) > kMaxWordCodePoints;
  for (size_t begin = 0; begin < word.size();) {
    size_t end = std::min(word.size(), begin + vocabulary_.longest_token_bytes());
    while (end < word.size() && IsContinuationByte(word[end])) --end;
    int32_t id = Vocabulary::kNone;
    while (!too_long && end > begin) {
      id = vocabulary_.FindPiece(word.substr(begin, end - begin), /*continuation=*/begin > 0);
      if (id != Vocabulary::kNone) break;
      do {
        --end;
      } while (end > begin && IsContinuationByte(word[end]));
    }
    if (id == Vocabulary::kNone) {
      ids->resize(before);
      ids->push_back(vocabulary_.unknown());
      return;
    }
    ids->push_back(id);
    begin = end;
  }
}

}  // namespace treeformer::datasets
