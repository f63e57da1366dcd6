#include "datasets/batch.h"

#include <algorithm>

namespace treeformer::datasets {

void Batch::Resize(int64_t sequences, int64_t length, int64_t targets) {
  this->sequences = sequences;
  this->length = length;
  tokens.assign(sequences * length, 0);
  positions.assign(sequences * length, 0);
  types.assign(sequences * length, 0);
  document.assign(sequences * length, kPadding);
  target_position.assign(targets, 0);
  target_token.assign(targets, kNoTarget);
}

int64_t Batch::CountTargets() const {
  return target_token.size() - std::count(target_token.begin(), target_token.end(), kNoTarget);
}

int64_t Batch::CountTokens() const {
  return document.size() - std::count(document.begin(), document.end(), kPadding);
}

}  // namespace treeformer::datasets
