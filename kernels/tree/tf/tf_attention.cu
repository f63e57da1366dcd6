#include "kernels/cuda/launch.h"
#include "kernels/tree/tf/flip_gains_kernels.cuh"
#include "kernels/tree/tf/tf_attention.h"
#include "kernels/tree/tf/tf_backward_kernels.cuh"
#include "kernels/tree/tf/tf_forward_kernels.cuh"
#include "kernels/tree/tf/tf_schedule_kernels.cuh"

namespace treeformer {
namespace cuda {
namespace {

TfProblem Problem(const TfOperands& operands) {
  const auto& [q, k, v, buckets, options] = operands;
  const Shape& shape = q.shape();
  for (In view : {q, k, v}) CheckAligned(view);
  CHECK_EQ(q.shape(), k.shape()) << "TF attention on a GPU: queries and keys of one length";
  const int64_t lists = shape[0] * shape[2], tiles = DivideUp(shape[1], kTfRows);
  CHECK_LE(shape[1], std::numeric_limits<int32_t>::max() - kTfRows);
  CHECK_LE(lists * tiles, std::numeric_limits<int32_t>::max());
  const int n = static_cast<int>(shape[1]), H = static_cast<int>(shape[2]);
  return {q.as<BFloat16>().data(),
          k.as<BFloat16>().data(),
          v.as<BFloat16>().data(),
          {buckets.query_order.data(), buckets.key_range.data(), /*units=*/nullptr},
          {buckets.key_order.data(), buckets.query_range.data(), /*units=*/nullptr},
          n,
          H,
          static_cast<int>(lists),
          static_cast<int>(tiles),
          static_cast<float>(1 / std::sqrt(static_cast<double>(shape[3]))),
          options.dropout};
}

// Cuts the ranges of the queries, or of the keys, to what causal attention sees; in scratch memory.
void SeeCausally(Context& ctx, runtime::Scratch::Scope& scope, TfProblem& p, bool queries) {
  TfSide& side = queries ? p.queries : p.keys;
  const TfSide& other = queries ? p.keys : p.queries;
  const int64_t count = int64_t{p.lists} * p.n;
  const View<int32_t> causal = scope.Take<int32_t>({count, 2});
  Launch(ctx, CausalRangeKernel, {DivideUp(count, kCausalThreads)}, kCausalThreads, 0,
         causal.data(), side.range, side.order, other.order, queries, p.n, count);
  side.range = causal.data();
}

// For kernels whose blocks own rows of these sides, one or two, by their ranges; in scratch memory.
void OrderUnits(Context& ctx, runtime::Scratch::Scope& scope, const TfProblem& p,
                std::initializer_list<TfSide*> sides) {
  const int count = p.lists * p.tiles;
  std::vector<UnitOrder> orders;
  for (TfSide* side : sides) {
    const View<int32_t> units = scope.Take<int32_t>({count});
    orders.push_back({units.data(), {side->range, p.n, p.tiles}});
    side->units = units.data();
  }
  const int64_t blocks = static_cast<int64_t>(orders.size());
  Launch(ctx, OrderUnitsKernel, {blocks}, kScheduleThreads, kScheduleSharedBytes, orders.front(),
         orders.back(), count);
}

template <int kOwnTiles, int e, typename Kernel, typename... Arguments>
void Launch(Context& ctx, Kernel* kernel, const TfProblem& p, const Arguments&... arguments) {
  constexpr int64_t kBytes = sizeof(TfShared<e, kOwnTiles>);
  Launch(ctx, kernel, {int64_t{p.lists} * p.tiles}, kTfThreads, kBytes, p, arguments...);
}

template <int e, bool kDropout>
struct Width {
  static void Forward(Context& ctx, const TfProblem& p, Out o, Out lse) {
    Launch<1, e>(ctx, TfForwardKernel<e, kDropout>, p, o.as<BFloat16>().data(),
                 lse.as<float>().data());
  }
  static void Backward(Context& ctx, const TfProblem& p, const TfGradients& gradients, In d_o, In o,
                       In lse) {
    const auto& [dq, dk, dv, delta, key_effect] = gradients;
    Launch<2, e>(ctx, TfQueryGradientKernel<e, kDropout>, p, dq.as<BFloat16>().data(),
                 delta.as<float>().data(), d_o.as<BFloat16>().data(), o.as<BFloat16>().data(),
                 lse.as<float>().data());
    Launch<2, e>(ctx, TfKeyGradientKernel<e, kDropout>, p, dk.as<BFloat16>().data(),
                 dv.as<BFloat16>().data(), key_effect ? key_effect.as<float>().data() : nullptr,
                 d_o.as<BFloat16>().data(), lse.as<float>().data(), In(delta).as<float>().data());
  }
  static void Gains(Context& ctx, const TfProblem& queries, const TfProblem& keys, Out query_gain,
                    Out key_gain, const FlipOperands& operands) {
    const BFloat16* d_o = operands.d_o.as<BFloat16>().data();
    const float* delta = operands.delta.as<float>().data();
    Launch<2, e>(ctx, FlipQueryGainKernel<e>, queries, query_gain.as<float>().data(), d_o, delta);
    Launch<2, e>(ctx, FlipKeyGainKernel<e>, keys, key_gain.as<float>().data(), d_o,
                 operands.lse.as<float>().data(), delta, operands.key_effect.as<float>().data());
  }
};

// call(Width<e, kDropout>()) for the width and dropout at hand.
template <int e, typename Call>
void WithDropout(bool dropout, const Call& call) {
  dropout ? call(Width<e, true>()) : call(Width<e, false>());
}
template <typename Call>
void WithWidth(int64_t e, bool dropout, const Call& call) {
  switch (e) {
    case 32:
      return WithDropout<32>(dropout, call);
    case 64:
      return WithDropout<64>(dropout, call);
    case 96:
      return WithDropout<96>(dropout, call);
    case 128:
      return WithDropout<128>(dropout, call);
    default:
      LOG(FATAL) << "head width " << e << ": TF attention on a GPU has 32, 64, 96 and 128";
  }
}

}  // namespace
}  // namespace cuda

void cuda::TfForward(Context& ctx, Out o, Out lse, const TfOperands& operands) {
  const AttentionOptions& options = operands.options;
  CheckAligned(o);
  runtime::Scratch::Scope scope(ctx.scratch());
  TfProblem p = Problem(operands);
  if (options.causal) SeeCausally(ctx, scope, p, /*queries=*/true);
  OrderUnits(ctx, scope, p, {&p.queries});
  WithWidth(operands.q.shape()[3], options.dropout.enabled(),
            [&](auto width) { width.Forward(ctx, p, o, lse); });
}

void cuda::TfBackward(Context& ctx, const TfGradients& gradients, In d_o, In o, In lse,
                      const TfOperands& operands) {
  const AttentionOptions& options = operands.options;
  for (In view : {In(gradients.dq), In(gradients.dk), In(gradients.dv), d_o, o}) CheckAligned(view);
  runtime::Scratch::Scope scope(ctx.scratch());
  TfProblem p = Problem(operands);
  if (options.causal) {
    SeeCausally(ctx, scope, p, /*queries=*/true);
    SeeCausally(ctx, scope, p, /*queries=*/false);
  }
  OrderUnits(ctx, scope, p, {&p.queries, &p.keys});
  WithWidth(operands.q.shape()[3], options.dropout.enabled(),
            [&](auto width) { width.Backward(ctx, p, gradients, d_o, o, lse); });
}

void cuda::FlipGains(Context& ctx, Out query_gain, Out key_gain, const FlipOperands& operands) {
  const auto& [d_o, q, k, v, lse, delta, key_effect, query_probe, key_probe, causal] = operands;
  CheckAligned(d_o);
  runtime::Scratch::Scope scope(ctx.scratch());
  TfProblem queries = Problem({q, k, v, query_probe, /*options=*/{}});
  TfProblem keys = Problem({q, k, v, key_probe, /*options=*/{}});
  if (causal) {
    SeeCausally(ctx, scope, queries, /*queries=*/true);
    SeeCausally(ctx, scope, keys, /*queries=*/false);
  }
  OrderUnits(ctx, scope, queries, {&queries.queries, &keys.keys});
  WithWidth(q.shape()[3], /*dropout=*/false,
            [&](auto width) { width.Gains(ctx, queries, keys, query_gain, key_gain, operands); });
}

}  // namespace treeformer
