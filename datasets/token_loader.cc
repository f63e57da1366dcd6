#include "datasets/token_loader.h"

#include <glog/logging.h>

#include <algorithm>

#include "datasets/permutation.h"
#include "kernels/base/user_error.h"

namespace treeformer::datasets {
namespace {

std::vector<TokenFile> OpenAll(const std::vector<std::string>& paths, const Vocabulary& vocabulary,
                               const TokenFileRecords& verified) {
  std::vector<TokenFile> files;
  for (const std::string& path : paths) {
    files.push_back(TokenFile::Open(path, vocabulary, verified));
  }
  return files;
}

}  // namespace

int64_t BatchLayout::MicroBatchSize() const {
  const int64_t parts = int64_t{ranks} * micro_batches;
  if (micro_batches < 1 || batch_size < 1 || batch_size % parts != 0) {
    throw UserError(Sentence("training.batch_size is ", batch_size,
                             "; it must be a multiple of the number of ranks, ", ranks,
                             ", times training.micro_batches, ", micro_batches));
  }
  return batch_size / parts;
}

TokenLoader::TokenLoader(const std::string& path, const Vocabulary& vocabulary,
                         const SequenceConfig& config, const BatchLayout& layout, SampleOrder order,
                         uint64_t seed, const TokenFileRecords& verified)
    : TokenLoader(std::vector<std::string>{path}, vocabulary, config, layout, order, seed,
                  verified) {}

TokenLoader::TokenLoader(const std::vector<std::string>& paths, const Vocabulary& vocabulary,
                         const SequenceConfig& config, const BatchLayout& layout, SampleOrder order,
                         uint64_t seed, const TokenFileRecords& verified)
    : files_(OpenAll(paths, vocabulary, verified)),
      sequences_(files_, vocabulary, config.length, config.pack),
      masker_(vocabulary, config.masking),
      pad_(vocabulary.pad()),
      layout_(layout),
      micro_batch_size_(layout.MicroBatchSize()),
      order_(order),
      state_{.seed = seed} {
  CHECK(!paths.empty());
  if (samples() == 0) {
    throw UserError(Sentence("token file ", paths[0],
                             paths.size() > 1 ? " and those beside it" : "",
                             " holds no document, expected at least one"));
  }
}

int64_t TokenLoader::steps() const {
  return (samples() + layout_.batch_size - 1) / layout_.batch_size;
}

// `place` counts samples from the begin of the current epoch and may run past its end.
void TokenLoader::WriteSample(int64_t place, int64_t row, Batch* batch) const {
  int64_t epoch = 0, sample = place;
  if (order_ == SampleOrder::kShuffled) {
    epoch = state_.epoch + place / samples();
    sample = Permutation(samples(), state_.seed, epoch)(place % samples());
  } else if (place >= samples()) {
    return;  // an empty sequence
  }
  const int64_t n = batch->length;
  const auto row_of = [&](std::vector<int32_t>& v) {
    return std::span<int32_t>(v).subspan(row * n, n);
  };
  const std::span<int32_t> tokens = row_of(batch->tokens);
  sequences_.Write(sample, tokens, row_of(batch->positions), row_of(batch->document));

  std::vector<int32_t> positions, originals;
  masker_.Mask(tokens, {state_.seed, epoch, sample}, &positions, &originals);
  const int64_t slot = row * masker_.Capacity(n);
  for (size_t i = 0; i < positions.size(); ++i) {
    batch->target_position[slot + i] = row * n + positions[i];
    batch->target_token[slot + i] = originals[i];
  }
}

Batch TokenLoader::Get(int micro) {
  CHECK(0 <= micro && micro < layout_.micro_batches);
  const int64_t n = sequences_.length();
  Batch batch;
  batch.Resize(micro_batch_size_, n, micro_batch_size_ * masker_.Capacity(n));
  std::fill(batch.tokens.begin(), batch.tokens.end(), pad_);
  batch.first_sample = (int64_t{layout_.rank} * layout_.micro_batches + micro) * micro_batch_size_;
  for (int64_t row = 0; row < micro_batch_size_; ++row) {
    WriteSample(state_.next_sample + batch.first_sample + row, row, &batch);
  }
  return batch;
}

void TokenLoader::NextStep() {
  ++state_.step;
  state_.next_sample += layout_.batch_size;
  if (order_ == SampleOrder::kInOrder) return;
  state_.epoch += state_.next_sample / samples();
  state_.next_sample %= samples();
}

void TokenLoader::Restore(const LoaderState& state) { state_ = state; }

}  // namespace treeformer::datasets
