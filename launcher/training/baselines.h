#pragma once

// What a held-out loss is measured against: predictions that need no network, of the same masked
// positions, and the loss that no model goes below.

#include <optional>

#include "core/model/model_stage.h"
#include "datasets/count_models.h"
#include "datasets/dataset.pb.h"
#include "datasets/evaluation_loader.h"
#include "datasets/vocabulary.h"
#include "dist/communicator.h"

namespace treeformer {

struct Baselines {
  MetricSums uniform;           // every token of the vocabulary alike
  MetricSums word_frequencies;  // of the training text
  MetricSums neighbours;        // the tokens on both sides, as far as they are visible
};

// Over the samples of `held_out`, as Evaluate; `training` is counted.  Collective.
Baselines MeasureBaselines(dist::Communicator& communicator, const datasets::TokenFile& training,
                           const datasets::Vocabulary& vocabulary,
                           const datasets::EvaluationLoader& held_out);

// The lower bound of datasets::StoriesEntropy for the built-in stories.  Empty for other text, and
// where the vocabulary cuts a word of the stories into pieces: pieces tell of each other.
std::optional<double> FloorOfStories(const config::DatasetConfig& data,
                                     const datasets::Vocabulary& vocabulary);

}  // namespace treeformer
