#include <cmath>

#include "kernels/adamw.h"
#include "kernels/adamw_kernels.cuh"
#include "kernels/cuda/launch.h"

namespace treeformer {
namespace cuda {
namespace {

AdamWFactors MakeFactors(const AdamWOptions& options, int64_t t) {
  const auto single = [](double value) { return static_cast<float>(value); };
  return {.beta1 = single(options.beta1),
          .rest1 = single(1 - options.beta1),
          .beta2 = single(options.beta2),
          .rest2 = single(1 - options.beta2),
          .rate = single(options.learning_rate / (1 - std::pow(options.beta1, t))),
          .root_correction = single(1 / std::sqrt(1 - std::pow(options.beta2, t))),
          .epsilon = single(options.epsilon),
          .decay = single(options.learning_rate * options.weight_decay)};
}

AdamWLevels MakeLevels(const Shape& shape, const AdamWOptions& options) {
  AdamWLevels levels{.entries = shape[1], .entry = shape.count() / shape[0] / shape[1]};
  for (const AdamWLevel& level : options.levels) {
    const AdamWFactors factors = MakeFactors(options, level.t);
    levels.end[levels.count] = level.end;
    levels.rate[levels.count] = factors.rate;
    levels.root_correction[levels.count] = factors.root_correction;
    ++levels.count;
  }
  return levels;
}

}  // namespace
}  // namespace cuda

void cuda::AdamW(Context& ctx, Out w, Out m, Out v, In gradient, In scale,
                 const AdamWOptions& options, Out copy) {
  for (In view : {In(w), In(m), In(v), gradient, In(copy)}) CheckAligned(view);
  if (!options.levels.empty()) {
    Launch(ctx, AdamWLevelsKernel, {DivideUp(w.count(), kAdamWThreads)}, kAdamWThreads, 0,
           w.as<float>().data(), m.as<float>().data(), v.as<float>().data(),
           copy.as<BFloat16>().data(), gradient.as<float>().data(), scale.as<float>().data(),
           MakeFactors(options, options.t), MakeLevels(w.shape(), options), w.count());
    return;
  }
  Launch(ctx, AdamWKernel, {DivideUp(w.count(), kAdamWPerBlock)}, kAdamWThreads, 0,
         w.as<float>().data(), m.as<float>().data(), v.as<float>().data(),
         copy.as<BFloat16>().data(), gradient.as<float>().data(), scale.as<float>().data(),
         MakeFactors(options, options.t), w.count());
}

void cuda::RoundToBFloat16(Context& ctx, Out copy, In w) {
  for (In view : {In(copy), w}) CheckAligned(view);
  Launch(ctx, RoundToBFloat16Kernel, {DivideUp(w.count(), kAdamWPerBlock)}, kAdamWThreads, 0,
         copy.as<BFloat16>().data(), w.as<float>().data(), w.count());
}

void cuda::SquaredNorm(Context& ctx, View<double> sum, In x) {
  Scratch::Scope scope(ctx.scratch());
  const int64_t blocks = DivideUp(x.count(), kNormPerBlock);
  const View<double> partial = scope.Take<double>({blocks});
  if (blocks > 0) {
    Launch(ctx, SquaredNormPartialsKernel, {blocks}, kAdamWThreads, kSumSharedBytes, partial.data(),
           x.as<float>().data(), x.count());
  }
  Launch(ctx, AddSquaredNormsKernel, {1}, kAdamWThreads, kSumSharedBytes, sum.data(),
         partial.data(), blocks);
}

void cuda::ClipScale(Context& ctx, Out scale, View<const double> squared_norm,
                     View<const double> count, double max_norm) {
  Launch(ctx, ClipScaleKernel, {1}, device::kWarpThreads, 0, scale.as<float>().data(),
         squared_norm.data(), count.data(), max_norm);
}

}  // namespace treeformer
