#include "launcher/training/baselines.h"

#include <cctype>
#include <cmath>

#include "datasets/stories.h"
#include "launcher/training/evaluation.h"

namespace treeformer {

namespace {

void Add(MetricSums& sum, const datasets::Prediction& prediction, int32_t target) {
  sum += SumsOfClasses(-std::log(prediction.probability), prediction.best == target, 1);
}

}  // namespace

Baselines MeasureBaselines(dist::Communicator& communicator, const datasets::TokenFile& training,
                           const datasets::Vocabulary& vocabulary,
                           const datasets::EvaluationLoader& held_out) {
  const datasets::CountModels models(training, vocabulary);
  Baselines baselines;
  for (int64_t step = 0; step < held_out.steps(); ++step) {
    for (int micro = 0; micro < held_out.micro_batches(); ++micro) {
      const datasets::Batch batch = held_out.Get(step, micro);
      for (size_t i = 0; i < batch.target_token.size(); ++i) {
        const int32_t target = batch.target_token[i];
        if (target == datasets::kNoTarget) continue;
        // [CLS] and [SEP], which are never masked, are the outermost tokens.
        const int32_t at = batch.target_position[i];
        const int32_t left = batch.tokens[at - 1], right = batch.tokens[at + 1];
        Add(baselines.word_frequencies, models.FromFrequencies(target), target);
        Add(baselines.neighbours, models.FromNeighbours(left, right, target), target);
      }
    }
  }
  baselines.word_frequencies = SumOverRanks(communicator, baselines.word_frequencies);
  baselines.neighbours = SumOverRanks(communicator, baselines.neighbours);
  const auto targets = static_cast<double>(baselines.neighbours.targets);
  const double size = vocabulary.size();
  baselines.uniform = SumsOfClasses(targets * std::log(size), std::llround(targets / size),
                                    baselines.neighbours.targets);
  return baselines;
}

std::optional<double> FloorOfStories(const config::DatasetConfig& data,
                                     const datasets::Vocabulary& vocabulary) {
  if (data.text_size() > 0 || data.has_token_file()) return std::nullopt;
  for (std::string word : datasets::StoryWords()) {
    if (data.lower_case()) {
      for (char& c : word) c = static_cast<char>(std::tolower(c));  // ASCII
    }
    if (vocabulary.Find(word) == datasets::Vocabulary::kNone) return std::nullopt;
  }
  const datasets::MaskingConfig masking = datasets::MakeSequenceConfig(data).masking;
  return (masking.mask_share + masking.random_share) *
         datasets::StoriesEntropy(datasets::MakeStoriesConfig(data));
}

}  // namespace treeformer
