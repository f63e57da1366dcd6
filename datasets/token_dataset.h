#pragma once

// TokenDataset: masked sequences of one or several token files, all of one length
// (datasets/sequences.h, datasets/masking.h).

#include <string>
#include <vector>

#include "datasets/dataset.h"
#include "datasets/masking.h"
#include "datasets/sequences.h"

namespace treeformer::datasets {

class TokenDataset : public Dataset {
 public:
  // Throws UserError when a file was made with another vocabulary or none holds a document.
  // Files that `verified` knows are not read whole.
  TokenDataset(const std::vector<std::string>& paths, const Vocabulary& vocabulary,
               const SequenceConfig& config, const TokenFileRecords& verified = {});
  TokenDataset(const std::string& path, const Vocabulary& vocabulary, const SequenceConfig& config,
               const TokenFileRecords& verified = {});

  int64_t samples() const override { return sequences_.samples(); }
  int32_t pad() const override { return pad_; }
  int64_t BatchLength(std::span<const SampleKey>) const override { return sequences_.length(); }
  int64_t TargetsOf(int64_t length) const override { return masker_.Capacity(length); }
  void Write(const SampleKey& key, int64_t row, Batch* batch) const override;

  const std::vector<TokenFile>& files() const { return files_; }

 private:
  const std::vector<TokenFile> files_;
  const Sequences sequences_;
  const Masker masker_;
  const int32_t pad_;
};

}  // namespace treeformer::datasets
