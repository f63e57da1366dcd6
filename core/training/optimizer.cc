#include "core/training/optimizer.h"

#include <algorithm>

namespace treeformer {

namespace {

// What is updated in one go: parameters that stand side by side and are alike, with the gaps behind
// them, which are zero; or one tree whose levels were not born together.
struct Piece {
  Range range;
  const Parameter* first = nullptr;
};

bool WasBornAtOnce(const Parameter& parameter) {
  return std::ranges::count(parameter.born, parameter.born[0]) == std::ssize(parameter.born);
}

bool AreAlike(const Parameter& a, const Parameter& b) {
  return Decays(a.role) == Decays(b.role) && WasBornAtOnce(a) && WasBornAtOnce(b) &&
         a.born[0] == b.born[0];
}

std::vector<Piece> Cut(const std::vector<Parameter>& list, Range range) {
  std::vector<Piece> pieces;
  for (size_t i = 0; i < list.size(); ++i) {
    const bool last = i + 1 == list.size();
    const Range tile{std::max(range.begin, list[i].range.begin),
                     std::min(range.end, last ? range.end : list[i + 1].range.begin)};
    if (tile.count() <= 0) continue;
    if (!pieces.empty() && AreAlike(list[i - 1], list[i])) {
      pieces.back().range.end = tile.end;
    } else {
      pieces.push_back({tile, &list[i]});
    }
  }
  return pieces;
}

}  // namespace

double LearningRate(const OptimizerConfig& config, int64_t step, int64_t steps) {
  if (step < config.warmup_steps) {
    return config.learning_rate * static_cast<double>(step + 1) / config.warmup_steps;
  }
  const double decay_steps = std::max<int64_t>(1, steps - config.warmup_steps);
  const double done = std::min(1.0, (step - config.warmup_steps) / decay_steps);
  return config.learning_rate * (1 - (1 - config.final_rate) * done);
}

void Optimizer::Step(Context& ctx, Parameters& parameters, Range range,
                     View<const double> squared_norm, double targets, double learning_rate,
                     int64_t t) const {
  CHECK_GT(targets, 0) << "a step without a masked position";
  runtime::Scratch::Scope scope(ctx.scratch());
  const Out scale = scope.Take(parameters.values().dtype(), {1});
  ClipScale(ctx, scale, squared_norm, targets, config_.clip_norm);

  for (const Piece& piece : Cut(parameters.list(), range)) {
    const Parameter& first = *piece.first;
    AdamWOptions options{.learning_rate = learning_rate,
                         .beta1 = config_.beta1,
                         .beta2 = config_.beta2,
                         .epsilon = config_.epsilon,
                         .weight_decay = Decays(first.role) ? config_.weight_decay : 0,
                         .t = t - first.born[0]};
    const bool whole = WasBornAtOnce(first);
    if (!whole) {
      CHECK(range.begin <= first.range.begin && first.range.end <= range.end) << first.name;
      for (size_t i = 0; i < first.born.size(); ++i) {
        options.levels.push_back({first.levels[i], t - first.born[i]});
      }
    }
    const auto rows = [&](Parameters::Kind kind) {
      const Out buffer = parameters.buffer(kind);
      if (!buffer) return buffer;
      return whole ? buffer.Rows(piece.range.begin, piece.range.end)
                   : Parameters::Window(buffer, first);
    };
    AdamW(ctx, rows(Parameters::kValues), rows(Parameters::kFirstMoments),
          rows(Parameters::kSecondMoments), rows(Parameters::kGradients), scale, options,
          rows(Parameters::kRounded));
  }
}

}  // namespace treeformer
