#include "core/optimizer.h"

#include <algorithm>

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

  AdamWOptions options{.learning_rate = learning_rate,
                       .beta1 = config_.beta1,
                       .beta2 = config_.beta2,
                       .epsilon = config_.epsilon,
                       .t = t};
  const Out rounded = parameters.rounded_values();
  auto update = [&](int64_t begin, int64_t end, bool decay) {
    if (begin >= end) return;
    options.weight_decay = decay ? config_.weight_decay : 0;
    AdamW(ctx, parameters.values().Rows(begin, end), parameters.first_moments().Rows(begin, end),
          parameters.second_moments().Rows(begin, end), parameters.gradients().Rows(begin, end),
          scale, options, rounded ? rounded.Rows(begin, end) : Out());
  };

  // Neighbours with the same decay are updated in one go; gaps between them are zero.
  const std::vector<Parameter>& list = parameters.list();
  int64_t begin = range.begin;
  for (size_t i = 0; i < list.size(); ++i) {
    const bool last = i + 1 == list.size();
    if (!last && list[i + 1].decay == list[i].decay) continue;
    const int64_t end = last ? range.end : std::min(range.end, list[i + 1].range.begin);
    update(begin, end, list[i].decay);
    begin = std::max(begin, end);
  }
}
