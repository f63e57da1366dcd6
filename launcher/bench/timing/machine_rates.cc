#include "launcher/bench/timing/machine_rates.h"

#include "kernels/matmul/linear.h"
#include "launcher/bench/timing/random_rows.h"
#include "launcher/bench/timing/timing.h"
#include "launcher/program/flag_values.h"

namespace treeformer::bench {
namespace {

double CopyRate(Context& ctx, int64_t bytes) {
  const Shape shape{bytes / SizeOf(DType::kFloat32)};
  const Buffer from(ctx.device(), DType::kFloat32, shape);
  const Buffer to(ctx.device(), DType::kFloat32, shape);
  const double moved = 2.0 * static_cast<double>(from.bytes());
  return moved / MedianSecondsOnStream(ctx, [&] { Copy(ctx, to, from); });
}

// Random operands: a GPU multiplies zeros at less power, and so faster.
double MatmulRate(Context& ctx, int64_t size) {
  const DType dtype = ActivationDType(ctx.device());
  const auto make = [&] { return Buffer(ctx.device(), dtype, {size, size}); };
  const Buffer a = make(), b = make(), c = make();
  FillNormal(ctx, a, /*seed=*/1);
  FillNormal(ctx, b, /*seed=*/2);
  const double seconds = MedianSecondsOnStream(ctx, [&] { Gemm(ctx, c, {.a = a, .b = b}); });
  const double n = static_cast<double>(size);
  return 2 * n * n * n / seconds;
}

}  // namespace

MachineRates MeasureMachineRates(Context& ctx, int64_t copy_bytes, int64_t size) {
  return {CopyRate(ctx, copy_bytes), MatmulRate(ctx, size)};
}

}  // namespace treeformer::bench
