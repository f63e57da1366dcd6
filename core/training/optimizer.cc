#include "core/training/optimizer.h"

#include <algorithm>

namespace treeformer {

namespace {

// What is updated in one go: elements side by side that are alike, with the gaps behind them, which
// are zero; or one tree whose levels were not born together.
struct Piece {
  Range range;
  const ParameterGroup* group = nullptr;
  int64_t born = 0;
  Parameters::Id tree = -1;  // where its levels have births of their own
};

bool WasBornAtOnce(const std::vector<int64_t>& born) {
  return std::ranges::count(born, born[0]) == std::ssize(born);
}

// Cuts the range of a state into pieces, in the order of the buffer.
class Cut {
 public:
  Cut(const Parameters& parameters, const OptimizerState& state) : range_(state.range()) {
    const int64_t count = std::ssize(parameters.list());
    for (Parameters::Id id = 0; id < count; ++id) tiles_.push_back(parameters.RangeOf(id, id + 1));
  }

  // Parameter `id`, as far as the range has it; false where it has nothing.
  bool Has(Parameters::Id id) const { return Intersect(tiles_[id], range_).count() > 0; }
  void Add(Parameters::Id id, const Parameter& parameter, const std::vector<int64_t>& born,
           const ParameterGroup& group) {
    const Range tile = Intersect(tiles_[id], range_);
    if (WasBornAtOnce(born)) return Add(tile, born[0], group);
    if (Intersect(parameter.range, range_) == parameter.range) {
      pieces_.push_back({parameter.range, &group, born[0], id});
      return;
    }
    AddLevels(parameter, born, group);
  }
  const std::vector<Piece>& pieces() const { return pieces_; }

 private:
  void Add(Range range, int64_t born, const ParameterGroup& group) {
    range = Intersect(range, range_);
    if (range.count() == 0) return;
    if (!pieces_.empty()) {
      Piece& last = pieces_.back();
      if (last.range.end == range.begin && last.group == &group && last.born == born &&
          last.tree < 0) {
        last.range.end = range.end;
        return;
      }
    }
    pieces_.push_back({range, &group, born});
  }
  // A tree that the range cuts, [H, K, ...]: level by level of each head.
  void AddLevels(const Parameter& parameter, const std::vector<int64_t>& born,
                 const ParameterGroup& group) {
    const int64_t heads = parameter.shape[0], head = parameter.shape.count() / heads;
    const int64_t entry = head / parameter.shape[1];
    for (int64_t h = 0; h < heads; ++h) {
      const int64_t first = parameter.range.begin + h * head;
      int64_t begin = 0;
      for (size_t level = 0; level < born.size(); ++level) {
        const int64_t end = parameter.levels[level] * entry;
        Add({first + begin, first + end}, born[level], group);
        begin = end;
      }
    }
  }

  const Range range_;
  std::vector<Range> tiles_;  // of each parameter, with the gap behind it
  std::vector<Piece> pieces_;
};

const ParameterGroup& GroupOf(const Parameter& parameter,
                              const std::vector<ParameterGroup>& groups) {
  const auto found = std::ranges::find_if(
      groups, [&](const ParameterGroup& group) { return group.holds(parameter); });
  CHECK(found != groups.end()) << parameter.name << " is in no group";
  return *found;
}

void Update(Context& ctx, const Parameters& parameters, const OptimizerState& state,
            const Piece& piece, In scale, const AdamWOptions& options) {
  const auto window = [&](Out buffer, int64_t first) {  // `first` element of the buffer
    if (!buffer) return buffer;
    const Out rows = buffer.Rows(piece.range.begin - first, piece.range.end - first);
    return piece.tree < 0 ? rows : rows.Reshaped(parameters.list()[piece.tree].shape);
  };
  const auto moments = [&](OptimizerState::Moment moment) {
    return window(state.moments(moment), state.range().begin);
  };
  AdamW(ctx, window(parameters.values(), 0), moments(OptimizerState::kFirst),
        moments(OptimizerState::kSecond), window(parameters.gradients(), 0), scale, options,
        window(parameters.rounded_values(), 0));
}

}  // namespace

std::vector<ParameterGroup> GroupsByRole() {
  return {{.holds = [](const Parameter& parameter) { return Decays(parameter.role); }},
          {.holds = [](const Parameter&) { return true; }, .decay = false}};
}

void Optimizer::CountUpdate(const Parameters& parameters, OptimizerState& state) const {
  for (Parameters::Id id = 0; id < std::ssize(parameters.list()); ++id) {
    if (GroupOf(parameters.list()[id], groups_).frozen) state.SkipUpdate(id);
  }
}

void Optimizer::Step(Context& ctx, Parameters& parameters, OptimizerState& state,
                     View<const double> squared_norm, View<const double> targets,
                     double learning_rate, int64_t t) const {
  runtime::Scratch::Scope scope(ctx.scratch());
  const Out scale = scope.Take(parameters.values().dtype(), {1});
  ClipScale(ctx, scale, squared_norm, targets, config_.clip_norm);

  Cut cut(parameters, state);
  for (Parameters::Id id = 0; id < std::ssize(parameters.list()); ++id) {
    if (!cut.Has(id)) continue;
    const ParameterGroup& group = GroupOf(parameters.list()[id], groups_);
    if (!group.frozen) cut.Add(id, parameters.list()[id], state.born(id), group);
  }
  for (const Piece& piece : cut.pieces()) {
    AdamWOptions options{.learning_rate = learning_rate * piece.group->rate_factor,
                         .beta1 = config_.beta1,
                         .beta2 = config_.beta2,
                         .epsilon = config_.epsilon,
                         .weight_decay = piece.group->decay ? config_.weight_decay : 0,
                         .t = t - piece.born};
    if (piece.tree >= 0) {
      const std::vector<int64_t>& ends = parameters.list()[piece.tree].levels;
      for (size_t level = 0; level < ends.size(); ++level) {
        options.levels.push_back({ends[level], t - state.born(piece.tree)[level]});
      }
    }
    Update(ctx, parameters, state, piece, scale, options);
  }
}

}  // namespace treeformer
