#include "core/attention/sliding_window_attention.h"

#include <algorithm>
#include <map>

#include "core/attention/attention.pb.h"
#include "core/attention/registry.h"
#include "kernels/base/user_error.h"
#include "kernels/tree/buckets/window.h"

namespace treeformer {

namespace {

AttentionConfig Validate(const config::Attention& attention, const AttentionField& field) {
  RequireNumbers(attention, field, {"window", "attention_dropout"});
  RequireField(attention.has_window(), field.name + ".window", "missing", "0 or more tokens");
  RequireField(attention.window() >= 0, field.name + ".window", attention.window(),
               "0 or more tokens");
  AttentionConfig config;
  config.numbers = SlidingWindow{attention.window()};
  config.dropout = AttentionDropout(attention, field);
  return config;
}

std::unique_ptr<Attention> Make(const LayerBuilder& builder, int64_t layer, const std::string&) {
  return std::make_unique<SlidingWindowAttention>(builder, layer);
}

// The cost of a sequence that is one document.
AttentionCost Cost(const ModelConfig& model, const AttentionConfig& attention, double n,
                   std::optional<double> measured) {
  const SlidingWindow window = std::any_cast<SlidingWindow>(attention.numbers);
  const double r = std::min(static_cast<double>(window.reach()), std::max(n - 1, 0.0));
  const double one_side = r * n - r * (r + 1) / 2;  // pairs with j < i
  const double pairs = n + (attention.causal ? 1 : 2) * one_side;
  return {.density = measured.value_or(pairs / (n * n)),
          .pairs = 4 * pairs * static_cast<double>(model.width)};
}

}  // namespace

const AttentionKind kSlidingWindowAttention{.name = "SLIDING_WINDOW",
                                            .label = "window",
                                            .has_pairs = true,
                                            .benchmark = "window: 256",
                                            .validate = Validate,
                                            .make = Make,
                                            .cost = Cost};

SlidingWindowAttention::SlidingWindowAttention(const LayerBuilder& builder, int64_t layer)
    : window_(std::any_cast<SlidingWindow>(builder.config.attention.at(layer).numbers)),
      causal_(builder.config.attention.at(layer).causal),
      layer_(layer),
      heads_(builder.config.heads),
      dropout_(
          builder.config.attention.at(layer).dropout.value_or(builder.config.attention_dropout)) {}

void SlidingWindowAttention::Bind(const LayerMemory& memory) {
  const int64_t B = memory.shape.sequences, n = memory.shape.length;
  leaf_ = memory.activations.MakeInts({B, heads_, n});
  order_ = memory.activations.MakeInts({B, heads_, n});
  range_ = memory.activations.MakeInts({B, heads_, n, 2});
  lse_ = memory.activations.MakeStatistics({B, heads_, n});
}

// Queries and keys are the same tokens in the same order, and reach is the same to either side.
TfOperands SlidingWindowAttention::Operands(const AttentionInput& x,
                                            const MicroBatch& batch) const {
  const int64_t H = lse_.shape()[1], n = lse_.shape()[2];
  const Dropout dropout =
      MakeDropout(dropout_, batch, layer_, RandomPlace::kProbabilities, H * n * n);
  return {
      x.queries.rows, x.keys.rows, x.values, {order_, order_, range_, range_}, {causal_, dropout}};
}

void SlidingWindowAttention::Forward(Context& ctx, Out o, const AttentionInput& x,
                                     const MicroBatch& batch) {
  const Ids document = x.queries.document;
  CHECK(document.data() == x.keys.document.data()) << "a window is of one sequence";
  Zero(ctx, leaf_);  // all tokens are in one leaf
  SortByLeaf(ctx, order_, leaf_, document, /*leaves=*/1);
  const RowsByLeaf rows{order_, leaf_, document};
  MatchRanges(ctx, range_, rows, rows);
  NarrowRanges(ctx, range_, order_, order_, window_.reach());
  TfForward(ctx, o, lse_, Operands(x, batch));
}

void SlidingWindowAttention::Backward(Context& ctx, Out dq, Out dk, Out dv, In d_o,
                                      const AttentionInput& x, In o, const MicroBatch& batch) {
  Scratch::Scope scope(ctx.scratch());
  const Out delta = scope.Take(lse_.dtype(), lse_.shape());
  TfBackward(ctx, {dq, dk, dv, delta, /*key_effect=*/{}}, d_o, o, lse_, Operands(x, batch));
}

TreeStatistics SlidingWindowAttention::ReadStatistics(Context& ctx, const MicroBatch& batch) const {
  const int64_t B = lse_.shape()[0], H = lse_.shape()[1], n = lse_.shape()[2];
  std::vector<int32_t> document(B * n), range(B * n * 2);
  Copy(ctx, View<int32_t>(document.data(), {B * n}), batch.document);
  for (int64_t b = 0; b < B; ++b) {  // the heads of a sequence have the same ranges
    const View<int32_t> heads = range_.Rows(b, b + 1).Reshaped({H, n * 2});
    Copy(ctx, View<int32_t>(range.data() + b * n * 2, {1, n * 2}), heads.Rows(0, 1));
  }
  ctx.Synchronize();
  std::map<std::pair<int64_t, int32_t>, double> tokens;  // of (sequence, document)
  double seen = 0;                                       // pairs, to both sides
  TreeStatistics statistics;
  PairCounts& counts = statistics.counts;
  for (int64_t row = 0; row < B * n; ++row) {
    seen += range[2 * row + 1] - range[2 * row];
    if (document[row] >= 0) ++tokens[{row / n, document[row]}];
  }
  const double heads = static_cast<double>(H);
  for (const auto& [place, count] : tokens) {
    counts.queries += heads * count;
    counts.all_pairs += heads * count * count;
  }
  counts.pairs = causal_ ? (heads * seen + counts.queries) / 2 : heads * seen;
  statistics.density = counts.Density();
  statistics.square_density = counts.pairs / (heads * static_cast<double>(B * n * n));
  return statistics;
}

}  // namespace treeformer
