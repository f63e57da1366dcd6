#pragma once

// OptimizerState: what AdamW keeps of a range of the parameter buffer, be it a shard or all of it.
//
//   moments   first and second, [range.count()] each, of the type of the values; zero in the gaps
//   births    of each level of a parameter, or of one that has no levels: the run's updates less
//             its own.  Its own updates correct the bias of its moments.  0: it has had all of them
//
// Who only evaluates needs no state.

#include <vector>

#include "core/parameters.h"

namespace treeformer {

class OptimizerState {
 public:
  enum Moment { kFirst, kSecond, kMoments };

  OptimizerState() = default;
  // Births of 0 and no memory, which Allocate makes.
  OptimizerState(const Parameters& parameters, Range range);
  // With memory, where `parameters` have theirs.
  OptimizerState(Context& ctx, const Parameters& parameters, Range range);
  OptimizerState(Context& ctx, const Parameters& parameters)
      : OptimizerState(ctx, parameters, {0, parameters.count()}) {}

  // `dtype` of the values.  One by one, so that carrying a model over need not hold all moments of
  // two (core/training/carry.h).
  void Allocate(Context& ctx, DType dtype, Moment moment);
  void Free(Moment moment) { moments_[moment] = Buffer(); }

  Range range() const { return range_; }
  Out moments(Moment moment) const { return moments_[moment].view(); }
  const std::vector<int64_t>& born(Parameters::Id id) const { return born_.at(id); }
  void SetBorn(Parameters::Id id, std::vector<int64_t> born);  // of as many levels as it has
  void SkipUpdate(Parameters::Id id);  // one of the run that is none of its own

  // The moments by name, "<parameter>.first_moment" of all parameters, then "... .second_moment":
  // of each what the range has.
  std::vector<TensorSlice> Tensors(const Parameters& parameters) const;

 private:
  Range range_;
  Buffer moments_[kMoments];
  std::vector<std::vector<int64_t>> born_;  // [parameter][level]
};

}  // namespace treeformer
