#include "core/training/optimizer_state.h"

#include <algorithm>

namespace treeformer {

OptimizerState::OptimizerState(const Parameters& parameters, Range range) : range_(range) {
  CHECK(0 <= range.begin && range.begin <= range.end && range.end <= parameters.count());
  for (const Parameter& parameter : parameters.list()) {
    born_.emplace_back(std::max<size_t>(parameter.levels.size(), 1), 0);
  }
}

OptimizerState::OptimizerState(Context& ctx, const Parameters& parameters, Range range)
    : OptimizerState(parameters, range) {
  for (Moment moment : {kFirst, kSecond}) Allocate(ctx, parameters.values().dtype(), moment);
}

void OptimizerState::Allocate(Context& ctx, DType dtype, Moment moment) {
  moments_[moment] = Buffer(ctx.device(), dtype, {range_.count()});
}

void OptimizerState::SetBorn(Parameters::Id id, std::vector<int64_t> born) {
  CHECK_EQ(born.size(), born_.at(id).size()) << "levels of parameter " << id;
  born_[id] = std::move(born);
}

void OptimizerState::SkipUpdate(Parameters::Id id) {
  for (int64_t& born : born_.at(id)) ++born;
}

std::vector<TensorSlice> OptimizerState::Tensors(const Parameters& parameters) const {
  std::vector<TensorSlice> tensors;
  for (Moment moment : {kFirst, kSecond}) {
    const char* const suffix = moment == kFirst ? ".first_moment" : ".second_moment";
    for (const Parameter& parameter : parameters.list()) {
      const Range here = Intersect(parameter.range, range_);
      const bool none = here.count() == 0 && parameter.range.count() > 0;
      if (none) continue;
      const int64_t first = parameter.range.begin;
      tensors.push_back({parameter.name + suffix,
                         parameter.shape,
                         {here.begin - first, here.end - first},
                         moments(moment).Rows(here.begin - range_.begin, here.end - range_.begin)});
    }
  }
  return tensors;
}

}  // namespace treeformer
