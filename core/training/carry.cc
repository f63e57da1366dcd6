#include "core/training/carry.h"

#include <algorithm>

namespace treeformer {

namespace {

// [H, K, ...] and [H, K', ...]: the same but for the number of entries per head.
bool DifferInLengthOnly(const Shape& a, const Shape& b) {
  if (a.rank() != b.rank() || a.rank() < 2) return false;
  for (int axis = 0; axis < a.rank(); ++axis) {
    if (axis != 1 && a[axis] != b[axis]) return false;
  }
  return true;
}

// What is carried of one parameter: all of it, or its first levels.
struct Carried {
  const Parameter* source = nullptr;
  bool whole = false;
  size_t levels = 0;
};

Carried WhatIsCarried(const Parameter& target, const Parameters& from, bool regrow) {
  const Parameter* source = from.Find(target.name);
  if (source == nullptr) return {};  // a new tree
  const bool same = source->shape == target.shape;
  CHECK(same || (!target.levels.empty() && DifferInLengthOnly(source->shape, target.shape)))
      << target.name << ": cannot carry " << source->shape << " into " << target.shape;
  const size_t levels = target.levels.size();
  if (levels == 0) return {source, same, 0};
  const size_t common = std::min(levels - (regrow ? 1 : 0), source->levels.size());
  for (size_t level = 0; level < common; ++level) {
    CHECK_EQ(source->levels[level], target.levels[level]) << target.name;
  }
  return {source, same && common == levels, common};
}

// Head h of [H, K, ...] as [K, entries].
Out Head(Out heads, int64_t h) {
  const int64_t K = heads.shape()[1];
  const Out head = heads.Rows(h, h + 1);
  return head.Reshaped({K, K > 0 ? head.count() / K : 0});
}

// Copies the first `entries` of every head; the rest of `to` stays, or becomes 0.
void CarryLeading(Context& ctx, Out to, Out from, int64_t entries, bool zero_rest) {
  for (int64_t h = 0; h < to.shape()[0]; ++h) {
    const Out to_head = Head(to, h), from_head = Head(from, h);
    if (entries > 0) Copy(ctx, to_head.Rows(0, entries), from_head.Rows(0, entries));
    if (zero_rest) Zero(ctx, to_head.Rows(entries, to_head.shape()[0]));
  }
}

void CarryBuffer(Context& ctx, const Parameters& to, Out to_buffer, const Parameters& from,
                 Out from_buffer, const CarryRules& rules) {
  for (const Parameter& target : to.list()) {
    const Carried carried = WhatIsCarried(target, from, rules.regrow);
    if (carried.source == nullptr) continue;
    const Out to_window = Parameters::Window(to_buffer, target);
    const Out from_window = Parameters::Window(from_buffer, *carried.source);
    if (carried.whole) {
      Copy(ctx, to_window, from_window);
    } else {
      const int64_t entries = carried.levels > 0 ? target.levels[carried.levels - 1] : 0;
      CarryLeading(ctx, to_window, from_window, entries, target.role == Role::kMixture);
    }
  }
}

void CarryBirths(const Parameters& to, OptimizerState& to_state, const Parameters& from,
                 const OptimizerState& from_state, const CarryRules& rules) {
  for (Parameters::Id id = 0; id < std::ssize(to.list()); ++id) {
    const Carried carried = WhatIsCarried(to.list()[id], from, rules.regrow);
    std::vector<int64_t> born(to_state.born(id).size(), rules.updates);
    if (carried.source != nullptr) {
      const auto source = static_cast<Parameters::Id>(carried.source - from.list().data());
      const auto first = from_state.born(source).begin();
      std::copy(first, first + (carried.whole ? std::ssize(born) : carried.levels), born.begin());
    }
    to_state.SetBorn(id, std::move(born));
  }
}

void RequireWhole(const Parameters& parameters, const OptimizerState& state) {
  CHECK(state.range() == (Range{0, parameters.count()})) << "a shard of a state is not carried";
}

constexpr OptimizerState::Moment kMoments[] = {OptimizerState::kFirst, OptimizerState::kSecond};

}  // namespace

void CarryParameters(Context& ctx, Parameters& to, OptimizerState& to_state, const Parameters& from,
                     const OptimizerState& from_state, const CarryRules& rules) {
  RequireWhole(from, from_state);
  RequireWhole(to, to_state);
  CarryBirths(to, to_state, from, from_state, rules);
  CarryBuffer(ctx, to, to.values(), from, from.values(), rules);
  for (const auto moment : kMoments) {
    CarryBuffer(ctx, to, to_state.moments(moment), from, from_state.moments(moment), rules);
  }
  to.RoundValues(ctx);
}

OptimizerState CarryParameters(Context& ctx, Parameters& to, Parameters&& from,
                               OptimizerState&& from_state, const CarryRules& rules, uint64_t seed,
                               int draw) {
  RequireWhole(from, from_state);
  OptimizerState state(to, {0, to.count()});
  CarryBirths(to, state, from, from_state, rules);
  from.Free(Parameters::kGradients);
  from.Free(Parameters::kRounded);
  to.Allocate(ctx, from.dtype(), Parameters::kValues);
  to.Initialize(ctx, seed, draw);
  CarryBuffer(ctx, to, to.values(), from, from.values(), rules);
  ctx.Synchronize();  // before the source goes
  from.Free(Parameters::kValues);
  for (const auto moment : kMoments) {
    state.Allocate(ctx, to.values().dtype(), moment);
    CarryBuffer(ctx, to, state.moments(moment), from, from_state.moments(moment), rules);
    ctx.Synchronize();
    from_state.Free(moment);
  }
  to.Allocate(ctx, from.dtype(), Parameters::kGradients);
  to.Allocate(ctx, from.dtype(), Parameters::kRounded);
  to.RoundValues(ctx);
  return state;
}

}  // namespace treeformer
