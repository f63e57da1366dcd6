#include "datasets/token_dataset.h"

#include <glog/logging.h>

#include "kernels/base/user_error.h"

namespace treeformer::datasets {
namespace {

std::vector<TokenFile> OpenAll(const std::vector<std::string>& paths, const Vocabulary& vocabulary,
                               const TokenFileRecords& verified) {
  std::vector<TokenFile> files;
  files.reserve(paths.size());
  for (const std::string& path : paths) {
    files.push_back(TokenFile::Open(path, vocabulary, verified));
  }
  return files;
}

}  // namespace

TokenDataset::TokenDataset(const std::string& path, const Vocabulary& vocabulary,
                           const SequenceConfig& config, const TokenFileRecords& verified)
    : TokenDataset(std::vector<std::string>{path}, vocabulary, config, verified) {}

TokenDataset::TokenDataset(const std::vector<std::string>& paths, const Vocabulary& vocabulary,
                           const SequenceConfig& config, const TokenFileRecords& verified)
    : files_(OpenAll(paths, vocabulary, verified)),
      sequences_(files_, vocabulary, config.length, config.pack),
      masker_(vocabulary, config.masking),
      pad_(vocabulary.pad()) {
  CHECK(!paths.empty());
  if (samples() == 0) {
    throw UserError(Sentence("token file ", paths[0],
                             paths.size() > 1 ? " and those beside it" : "",
                             " holds no document, expected at least one"));
  }
}

void TokenDataset::Write(const SampleKey& key, int64_t row, Batch* batch) const {
  const int64_t n = batch->length;
  const auto row_of = [&](std::vector<int32_t>& v) {
    return std::span<int32_t>(v).subspan(row * n, n);
  };
  const std::span<int32_t> tokens = row_of(batch->tokens);
  sequences_.Write(key.sample, tokens, row_of(batch->positions), row_of(batch->document));

  std::vector<int32_t> positions, originals;
  masker_.Mask(tokens, key, &positions, &originals);
  const int64_t slot = row * masker_.Capacity(n);
  for (size_t i = 0; i < positions.size(); ++i) {
    batch->target_position[slot + i] = row * n + positions[i];
    batch->target_token[slot + i] = originals[i];
  }
}

}  // namespace treeformer::datasets
