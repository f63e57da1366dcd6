#include "launcher/bench/timing/attention_floor.h"

#include <omp.h>

#include <algorithm>
#include <vector>

#include "core/attention/registry.h"
#include "kernels/matmul/matrix_product.h"
#include "launcher/bench/timing/timing.h"

namespace treeformer::bench {
namespace {

// Floating-point operations a second of C [M, N] = A [M, K] op(B), by all threads at once.
double GemmRate(int64_t M, int64_t N, int64_t K, char transpose_b, DType dtype) {
  const int64_t size = M * K + K * N + M * N;
  const int threads = omp_get_max_threads();
  const int64_t flops = 2 * M * N * K;
  // Operands of their own for each product, as the module has, but no more than 64 MiB a thread.
  const int64_t products = std::clamp<int64_t>((16 << 20) / size, 1, 256) * threads;
  std::vector<float> memory(products * size, 0.5f);  // as bfloat16: 0 and 0.5 in turn
  const auto run = [&] {
#pragma omp parallel for schedule(dynamic)
    for (int64_t p = 0; p < products; ++p) {
      float* a = memory.data() + p * size;
      float *b = a + M * K, *c = b + K * N;
      cpu::MatrixProduct('N', transpose_b, M, N, K, /*alpha=*/1, {a, K, dtype},
                         {b, transpose_b == 'T' ? K : N, dtype}, /*beta=*/0, c, N);
    }
  };
  return static_cast<double>(products * flops) / MedianSeconds(run);
}

struct Work {
  double flops = 0, seconds = 0;
};

// Scores and values of one leaf, and its way there.
Work AttentionWork(const ModelConfig& model, int64_t n, double density, DType dtype) {
  const AttentionConfig& attention = model.attention.at(0);
  const double d = static_cast<double>(model.width), rows = static_cast<double>(n);
  const int64_t e = model.head_width();
  Work work;
  if (attention.kind->has_pairs) {
    const int64_t leaf = std::clamp<int64_t>(static_cast<int64_t>(rows * density), 1, 1024);
    const double half = 2 * rows * rows * d * density;
    work.flops = 2 * half;
    work.seconds =
        half / GemmRate(leaf, leaf, e, 'T', dtype) + half / GemmRate(leaf, e, leaf, 'N', dtype);
  }
  return work;
}

// The hyperplanes on the ways of queries and keys.
Work RoutingWork(const ModelConfig& model, int64_t n) {
  const AttentionConfig& attention = model.attention.at(0);
  if (!attention.HasTrees()) return {};
  const int64_t planes = attention.shape.planes_on_path();
  const double flops = 2.0 * 2 * static_cast<double>(n * model.width * planes);
  return {flops, flops / GemmRate(std::min<int64_t>(n, 1024), planes, model.head_width(), 'T',
                                  DType::kFloat32)};
}

}  // namespace

Floor AttentionFloor(const ModelConfig& model, int64_t length, double density,
                     MatmulPrecision precision) {
  const DType dtype = precision == MatmulPrecision::kBFloat16 ? DType::kBFloat16 : DType::kFloat32;
  const int64_t d = model.width;
  const double flops = 4 * 2.0 * static_cast<double>(length * d * d);
  const Work projections{flops,
                         flops / GemmRate(std::min<int64_t>(length, 2048), d, d, 'T', dtype)};
  const Work routing = RoutingWork(model, length);
  const Work attention = AttentionWork(model, length, density, dtype);
  const AttentionConfig& config = model.attention.at(0);
  const bool flips = config.HasTrees() && config.tree.gradient == TreeGradient::kFlip;
  const double backward = flips ? 4.5 : 2.5;  // where there are no pairs, of nothing
  Floor floor;
  floor.forward_attention = routing.seconds + attention.seconds;
  floor.forward = projections.seconds + floor.forward_attention;
  floor.backward = 2 * projections.seconds + backward * attention.seconds;
  floor.flops_forward_attention = routing.flops + attention.flops;
  floor.flops_forward = projections.flops + floor.flops_forward_attention;
  floor.flops_backward = 2 * projections.flops + backward * attention.flops;
  return floor;
}

}  // namespace treeformer::bench
