#include "datasets/memory_dataset.h"

#include <algorithm>
#include <numeric>
#include <utility>

#include "kernels/base/user_error.h"

namespace treeformer::datasets {
namespace {

void RequireExamples(const std::vector<LabelledExample>& examples, int64_t longest) {
  if (examples.empty()) throw UserError("there is no example, expected at least one");
  for (size_t i = 0; i < examples.size(); ++i) {
    const int64_t tokens = std::ssize(examples[i].tokens);
    if (tokens < 1 || tokens > longest) {
      throw UserError(Sentence("example ", i, " has ", tokens, " tokens, expected 1 to ", longest));
    }
    if (examples[i].label < 0) {
      throw UserError(
          Sentence("example ", i, " has the label ", examples[i].label, ", expected 0 or more"));
    }
  }
}

}  // namespace

MemoryDataset::MemoryDataset(std::vector<LabelledExample> examples, int32_t pad, int64_t longest)
    : examples_(std::move(examples)), given_(examples_.size()), pad_(pad) {
  RequireExamples(examples_, longest);
  std::iota(given_.begin(), given_.end(), 0);
  std::stable_sort(given_.begin(), given_.end(), [this](int64_t a, int64_t b) {
    return examples_[a].tokens.size() < examples_[b].tokens.size();
  });
}

int64_t MemoryDataset::BatchLength(std::span<const SampleKey> samples) const {
  int64_t longest = 1;
  for (const SampleKey& key : samples) {
    longest = std::max<int64_t>(longest, std::ssize(examples_[ExampleOf(key.sample)].tokens));
  }
  return longest;
}

void MemoryDataset::Write(const SampleKey& key, int64_t row, Batch* batch) const {
  const LabelledExample& example = examples_[ExampleOf(key.sample)];
  const int64_t first = row * batch->length, tokens = std::ssize(example.tokens);
  std::copy(example.tokens.begin(), example.tokens.end(), batch->tokens.begin() + first);
  std::iota(batch->positions.begin() + first, batch->positions.begin() + first + tokens, 0);
  std::fill_n(batch->document.begin() + first, tokens, 0);
  batch->target_position[row] = static_cast<int32_t>(first);
  batch->target_token[row] = example.label;
}

}  // namespace treeformer::datasets
