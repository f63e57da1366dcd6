#pragma once

// Launches of TF attention's emulated kernels over a case, as the launchers of tf_attention.cu.

#include <memory>

#include "kernels/tree/tf/tf_schedule_kernels.cuh"
#include "tests/kernels/cuda/tf_case.h"

namespace treeformer::emulated_testing {

// The units of both sides in the order in which blocks own them.
struct Units {
  std::vector<int32_t> queries, keys;

  Units(const cuda::TfProblem& p, const emulation::Options& options) {
    const int count = p.lists * p.tiles;
    for (auto* units : {&queries, &keys}) units->assign(count, -1);
    emulation::Launch({/*x=*/2}, cuda::kScheduleThreads, cuda::kScheduleSharedBytes, options,
                      cuda::OrderUnitsKernel, Order(queries, p.queries, p), Order(keys, p.keys, p),
                      count);
  }

 private:
  static cuda::UnitOrder Order(std::vector<int32_t>& units, const cuda::TfSide& side,
                               const cuda::TfProblem& p) {
    return {units.data(), {side.range, p.n, p.tiles}};
  }
};

// Launches kernels over buckets of a case, which it refers to.
template <int e>
class TfLauncher {
 public:
  TfLauncher(const TfCase& c, const Buckets& buckets, const emulation::Options& options)
      : options_(options) {
    CHECK_EQ(c.size.e, e);
    p_ = {c.q16.data(),
          c.k16.data(),
          c.v16.data(),
          {buckets.query_order.data(), buckets.key_range.data(), /*units=*/nullptr},
          {buckets.key_order.data(), buckets.query_range.data(), /*units=*/nullptr},
          static_cast<int>(c.size.n),
          static_cast<int>(c.size.H),
          static_cast<int>(c.size.B * c.size.H),
          Blocks(c.size.n, cuda::kTfRows),
          static_cast<float>(1 / std::sqrt(double{e})),
          c.options.dropout};
    if (c.options.causal) {
      SeeCausally(key_range_, p_.queries, p_.keys, /*queries=*/true);
      SeeCausally(query_range_, p_.keys, p_.queries, /*queries=*/false);
    }
    units_ = std::make_unique<Units>(p_, options);
    p_.queries.units = units_->queries.data();
    p_.keys.units = units_->keys.data();
  }

  template <int kOwnTiles, typename Kernel, typename... Arguments>
  void Launch(Kernel* kernel, const Arguments&... arguments) {
    bank_conflicts_ +=
        emulation::Launch({p_.lists * p_.tiles}, cuda::kTfThreads,
                          sizeof(cuda::TfShared<e, kOwnTiles>), options_, kernel, p_, arguments...)
            .bank_conflicts;
  }
  int64_t bank_conflicts() const { return bank_conflicts_; }
  Units& units() { return *units_; }

 private:
  void SeeCausally(std::vector<int32_t>& causal, cuda::TfSide& side, const cuda::TfSide& other,
                   bool queries) const {
    const int64_t count = int64_t{p_.lists} * p_.n;
    causal.assign(2 * count, -1);
    emulation::Launch({Blocks(count, cuda::kCausalThreads)}, cuda::kCausalThreads, 0, options_,
                      cuda::CausalRangeKernel, causal.data(), side.range, side.order, other.order,
                      queries, p_.n, count);
    side.range = causal.data();
  }

  emulation::Options options_;
  cuda::TfProblem p_;
  std::vector<int32_t> key_range_, query_range_;
  std::unique_ptr<Units> units_;
  int64_t bank_conflicts_ = 0;
};

}  // namespace treeformer::emulated_testing
