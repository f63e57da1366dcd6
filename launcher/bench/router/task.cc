#include "launcher/bench/router/task.h"

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <numeric>
#include <random>
#include <set>
#include <vector>

#include "kernels/base/user_error.h"

namespace treeformer::bench {
namespace {

using datasets::Batch;
using Engine = std::mt19937_64;

constexpr int64_t kHeldOut = int64_t{1} << 40;  // steps from here on are the held-out batches

Engine EngineOf(uint64_t seed, int64_t step) {
  std::seed_seq sequence{seed, static_cast<uint64_t>(step), static_cast<uint64_t>(step) >> 32};
  return Engine(sequence);
}

class RecallTask : public Task {
 public:
  RecallTask(int64_t sequences, uint64_t seed) : sequences_(sequences), seed_(seed) {}

  Batch Training(int64_t step) const override { return Make(step); }
  Batch HeldOut(int64_t i) const override { return Make(kHeldOut + i); }
  BatchShape shape() const override { return {sequences_, 2 * kPairs, sequences_ * kPairs}; }
  int64_t vocabulary() const override { return kPairs + kValues; }  // keys, then values
  int64_t token_types() const override { return 1 + kValues; }      // none, then values

 private:
  static constexpr int64_t kPairs = 64, kValues = 64;

  Batch Make(int64_t step) const {
    Engine engine = EngineOf(seed_, step);
    Batch batch;
    batch.Resize(sequences_, 2 * kPairs, sequences_ * kPairs);
    std::fill(batch.document.begin(), batch.document.end(), 0);
    std::vector<int32_t> keys(kPairs), queries(kPairs), value_of(kPairs);
    std::iota(keys.begin(), keys.end(), 0);
    queries = keys;
    for (int64_t b = 0; b < sequences_; ++b) {
      std::shuffle(keys.begin(), keys.end(), engine);
      std::shuffle(queries.begin(), queries.end(), engine);
      for (int32_t& value : value_of) value = engine() % kValues;
      for (int64_t i = 0; i < kPairs; ++i) {
        const int64_t pair = b * 2 * kPairs + i, query = pair + kPairs;
        batch.tokens[pair] = keys[i];
        batch.types[pair] = 1 + value_of[keys[i]];
        batch.tokens[query] = queries[i];
        batch.target_position[b * kPairs + i] = query;
        batch.target_token[b * kPairs + i] = kPairs + value_of[queries[i]];
      }
    }
    return batch;
  }

  const int64_t sequences_;
  const uint64_t seed_;
};

std::string ReadText(const std::string& folder) {
  static const std::set<std::string> kEndings = {".h", ".cc", ".cpp", ".hpp", ".c", ".txt", ""};
  constexpr size_t kLimit = 16 << 20;     // bytes
  std::set<std::filesystem::path> paths;  // sorted
  std::error_code error;
  for (const auto& entry : std::filesystem::recursive_directory_iterator(folder, error)) {
    if (entry.is_regular_file() && kEndings.contains(entry.path().extension())) {
      paths.insert(entry.path());
    }
  }
  std::string text;
  for (const auto& path : paths) {
    if (text.size() >= kLimit) break;
    std::ifstream file(path, std::ios::binary);
    text.append(std::istreambuf_iterator<char>(file), {});
  }
  if (text.size() < (1 << 16)) {
    throw UserError(Sentence("the character task found ", text.size(), " bytes of text in '",
                             folder,
                             "'; expected a folder with 64 KiB or more of source code or text"));
  }
  text.resize(std::min(text.size(), kLimit));
  return text;
}

class CharacterTask : public Task {
 public:
  CharacterTask(std::string text, int64_t sequences, int64_t length, uint64_t seed)
      : text_(std::move(text)),
        held_out_begin_(text_.size() / 20 * 19),
        sequences_(sequences),
        length_(length),
        seed_(seed) {}

  Batch Training(int64_t step) const override { return Make(step, 0, held_out_begin_); }
  Batch HeldOut(int64_t i) const override {
    return Make(kHeldOut + i, held_out_begin_, text_.size());
  }
  BatchShape shape() const override { return {sequences_, length_, sequences_ * Masked()}; }
  int64_t vocabulary() const override { return kMask + 1; }
  int64_t token_types() const override { return 1; }

 private:
  static constexpr int32_t kMask = 256;
  int64_t Masked() const { return length_ * 15 / 100; }

  Batch Make(int64_t step, int64_t begin, int64_t end) const {
    Engine engine = EngineOf(seed_, step);
    Batch batch;
    batch.Resize(sequences_, length_, sequences_ * Masked());
    std::fill(batch.document.begin(), batch.document.end(), 0);
    std::vector<int32_t> places(length_);
    std::iota(places.begin(), places.end(), 0);
    for (int64_t b = 0; b < sequences_; ++b) {
      const int64_t first = begin + engine() % (end - begin - length_);
      for (int64_t i = 0; i < length_; ++i) {
        batch.tokens[b * length_ + i] = static_cast<unsigned char>(text_[first + i]);
        batch.positions[b * length_ + i] = i;
      }
      std::shuffle(places.begin(), places.end(), engine);
      std::sort(places.begin(), places.begin() + Masked());
      for (int64_t m = 0; m < Masked(); ++m) {
        const int64_t position = b * length_ + places[m];
        int32_t& token = batch.tokens[position];
        batch.target_position[b * Masked() + m] = position;
        batch.target_token[b * Masked() + m] = token;
        const uint64_t draw = engine() % 10;
        if (draw < 8) token = kMask;
        if (draw == 8) token = engine() % kMask;
      }
    }
    return batch;
  }

  const std::string text_;
  const int64_t held_out_begin_, sequences_, length_;
  const uint64_t seed_;
};

}  // namespace

std::unique_ptr<Task> MakeRecallTask(int64_t sequences, uint64_t seed) {
  return std::make_unique<RecallTask>(sequences, seed);
}

std::unique_ptr<Task> MakeCharacterTask(const std::string& path, int64_t sequences, int64_t length,
                                        uint64_t seed) {
  return std::make_unique<CharacterTask>(ReadText(path), sequences, length, seed);
}

}  // namespace treeformer::bench
