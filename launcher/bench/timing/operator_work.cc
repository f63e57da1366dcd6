#include "launcher/bench/timing/operator_work.h"

#include "core/attention/registry.h"

namespace treeformer::bench {
namespace {

double BackwardFlops(const AttentionConfig& attention, double forward, double all_pairs) {
  double flops = 2.5 * forward;
  if (!attention.HasTrees()) return flops;
  if (attention.tree.gradient == TreeGradient::kFlip) flops += 2 * forward;
  if (attention.tree.gradient == TreeGradient::kDense) flops += all_pairs;
  return flops;
}

}  // namespace

OperatorWork WorkOf(const ModuleSize& size, const AttentionConfig& attention, double density,
                    int64_t element_bytes) {
  const double rows = static_cast<double>(size.rows()), n = static_cast<double>(size.length);
  const double d = static_cast<double>(size.width());
  const double tensor = rows * d * static_cast<double>(element_bytes);
  OperatorWork work;
  if (!attention.kind->has_pairs) {
    work.forward = {0, 4 * tensor};
    work.backward = {0, 7 * tensor};
  } else {
    const double all_pairs = 4 * rows * n * d;
    const double forward = density * all_pairs;
    work.forward = {forward, 4 * tensor};
    work.backward = {BackwardFlops(attention, forward, all_pairs), 8 * tensor};
  }
  work.route = {0, 2 * tensor};
  const double projections = 8 * rows * d * d;
  work.layer_forward = {work.forward.flops + projections, 0};
  work.layer_backward = {work.backward.flops + 2 * projections, 0};
  return work;
}

}  // namespace treeformer::bench
