#pragma once

// TokenLoader: batches of one or several token files (datasets/loader.h).
//
//   kShuffled  training: epochs of all samples, each in its own random order; the stream of samples
//              runs on over the end of an epoch, nothing is dropped; masks differ by epoch
//   kInOrder   evaluation: each sample once, in order, with the masks of epoch 0; the last batch is
//              filled up with empty sequences; steps() steps

#include <string>
#include <vector>

#include "datasets/loader.h"
#include "datasets/masking.h"
#include "datasets/sequences.h"

namespace treeformer::datasets {

enum class SampleOrder { kShuffled, kInOrder };

// The part of the global batch that one rank loads.
struct BatchLayout {
  int64_t batch_size = 0;  // G, sequences of the global batch
  int rank = 0;
  int ranks = 1;
  int micro_batches = 1;  // of a rank

  // UserError unless G is a multiple of ranks * micro_batches.
  int64_t MicroBatchSize() const;
};

class TokenLoader : public Loader {
 public:
  // Throws UserError when a file was made with another vocabulary or none holds a document.
  // Files that `verified` knows are not read whole.
  TokenLoader(const std::vector<std::string>& paths, const Vocabulary& vocabulary,
              const SequenceConfig& config, const BatchLayout& layout, SampleOrder order,
              uint64_t seed, const TokenFileRecords& verified = {});
  TokenLoader(const std::string& path, const Vocabulary& vocabulary, const SequenceConfig& config,
              const BatchLayout& layout, SampleOrder order, uint64_t seed,
              const TokenFileRecords& verified = {});

  Batch Get(int micro) override;
  void NextStep() override;
  LoaderState state() const override { return state_; }
  void Restore(const LoaderState& state) override;

  const std::vector<TokenFile>& files() const { return files_; }
  int64_t samples() const { return sequences_.samples(); }
  int64_t steps() const;  // that see every sample once, rounded up

 private:
  void WriteSample(int64_t place, int64_t row, Batch* batch) const;

  const std::vector<TokenFile> files_;
  const Sequences sequences_;
  const Masker masker_;
  const int32_t pad_;
  const BatchLayout layout_;
  const int64_t micro_batch_size_;
  const SampleOrder order_;
  LoaderState state_;
};

}  // namespace treeformer::datasets
