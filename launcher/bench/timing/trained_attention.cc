#include "launcher/bench/timing/trained_attention.h"

#include "datasets/token_dataset.h"
#include "kernels/base/user_error.h"
#include "launcher/program/trained_run.h"
#include "launcher/run/run_data.h"
#include "launcher/training/evaluation.h"

namespace treeformer::bench {
namespace {

void Require(bool good, const TrainedRun& run, const std::string& found,
             const std::string& expected) {
  if (!good) throw UserError(Sentence(run.checkpoint.path, ": ", found, "; expected ", expected));
}

int64_t DeepestTreeLayer(const TrainedRun& run, const ModelConfig& config) {
  for (int64_t layer = config.layers - 1; layer >= 0; --layer) {
    const AttentionConfig& attention = config.attention[layer];
    if (attention.HasTrees() && !attention.tree.fold_projections) return layer;
  }
  Require(false, run, "it has no tree layer with projections", "one");
  return -1;
}

std::map<std::string, std::vector<float>> LayerWeights(const Parameters& parameters,
                                                       int64_t layer) {
  std::map<std::string, std::vector<float>> weights;
  for (const Parameter& parameter : parameters.list()) {
    if (parameter.layer != layer) continue;
    const View<float> value = Parameters::Window(parameters.values(), parameter);
    weights[parameter.name] = {value.data(), value.data() + value.count()};
  }
  return weights;
}

void AppendTokens(std::vector<float>& rows, int64_t count, const datasets::Batch& batch, In input) {
  const View<const float> x = input;
  const int64_t width = x.shape()[1];
  for (int64_t i = 0; i < x.shape()[0] && static_cast<int64_t>(rows.size()) < count; ++i) {
    if (batch.document[i] == datasets::kPadding) continue;
    rows.insert(rows.end(), x.data() + i * width, x.data() + (i + 1) * width);
  }
}

}  // namespace

TrainedAttention ReadTrainedAttention(int64_t width, int64_t heads, int64_t length) {
  const TrainedRun run = FindTrainedRun();
  const config::DatasetConfig& data = run.config.data();
  const DataFiles files = RunDataFiles(data, run.directory);
  const datasets::Vocabulary vocabulary = datasets::Vocabulary::Load(files.vocabulary);
  const datasets::BatchLayout layout{.batch_size = 8};
  const datasets::TokenDataset text(files.held_out, vocabulary, datasets::MakeSequenceConfig(data));
  const datasets::EvaluationLoader held_out(text, layout, run.config.training().seed());
  Context ctx = Context::Cpu();
  datasets::Batch batch = held_out.Get(/*step=*/0, /*micro=*/0);
  const auto model = LoadTrainedModel(ctx, run, vocabulary.size(), ShapeOf(batch));
  const ModelConfig& config = model->config();
  Require(config.width == width && config.heads == heads, run,
          Sentence("width ", config.width, ", ", config.heads, " heads"),
          Sentence("width ", width, ", ", heads, " heads"));
  Require(!config.pre_norm, run, "model.pre_norm is true", "false");

  const int64_t layer = DeepestTreeLayer(run, config);
  TrainedAttention trained{
      layer, config.attention[layer], LayerWeights(model->parameters(), layer), {}};
  trained.attention.causal = false;
  const int64_t count = length * width;
  for (int64_t step = 0; static_cast<int64_t>(trained.rows.size()) < count; ++step) {
    Require(step < held_out.steps(), run,
            Sentence("held-out text of ", trained.rows.size() / width, " tokens"),
            Sentence(length, " or more, for --lengths"));
    batch = held_out.Get(step, /*micro=*/0);
    model->Forward(ctx, batch, {.training = false});
    AppendTokens(trained.rows, count, batch, model->LayerInput(layer));
  }
  return trained;
}

}  // namespace treeformer::bench
