#include "kernels/cuda/launch.h"
#include "kernels/tree/flip_gains_kernels.cuh"
#include "kernels/tree/tf_attention.h"
#include "kernels/tree/tf_backward_kernels.cuh"
#include "kernels/tree/tf_forward_kernels.cuh"

namespace cuda {
namespace {

TfProblem Problem(In q, In k, In v, const Buckets& buckets, const AttentionOptions& options) {
  const Shape& shape = q.shape();
  for (In view : {q, k, v}) CheckAligned(view);
  CHECK_LE(shape[1], std::numeric_limits<int32_t>::max() - kTfRows);
  const int n = static_cast<int>(shape[1]), H = static_cast<int>(shape[2]);
  return {q.as<BFloat16>().data(),
          k.as<BFloat16>().data(),
          v.as<BFloat16>().data(),
          buckets.query_order.data(),
          buckets.key_order.data(),
          buckets.key_range.data(),
          buckets.query_range.data(),
          n,
          H,
          static_cast<int>(DivideUp(n, kTfRows)),
          static_cast<float>(1 / std::sqrt(static_cast<double>(shape[3]))),
          options.dropout};
}

// The visible part of `range` [B, H, n, 2]; in scratch memory.
const int32_t* CausalRange(Context& ctx, runtime::Scratch::Scope& scope, Ids range, Ids order,
                           Ids other_order, bool queries) {
  const View<int32_t> causal = scope.Take<int32_t>(range.shape());
  Launch(ctx, CausalRangeKernel, {DivideUp(order.count(), kCausalThreads)}, kCausalThreads, 0,
         causal.data(), range.data(), order.data(), other_order.data(), queries,
         static_cast<int>(order.shape()[2]), order.count());
  return causal.data();
}

template <int kOwnTiles, int e, typename Kernel, typename... Arguments>
void Launch(Context& ctx, Kernel* kernel, const TfProblem& p, int64_t lists,
            const Arguments&... arguments) {
  constexpr int64_t kBytes = sizeof(TfShared<e, kOwnTiles>);
  Launch(ctx, kernel, {lists * p.tiles}, kTfThreads, kBytes, p, arguments...);
}

template <int e, bool kDropout>
struct Width {
  static void Forward(Context& ctx, const TfProblem& p, int64_t lists, Out o, Out lse) {
    Launch<1, e>(ctx, TfForwardKernel<e, kDropout>, p, lists, o.as<BFloat16>().data(),
                 lse.as<float>().data());
  }
  static void Backward(Context& ctx, const TfProblem& p, int64_t lists, Out dq, Out dk, Out dv,
                       Out delta, Out key_effect, In d_o, In o, In lse) {
    Launch<2, e>(ctx, TfQueryGradientKernel<e, kDropout>, p, lists, dq.as<BFloat16>().data(),
                 delta.as<float>().data(), d_o.as<BFloat16>().data(), o.as<BFloat16>().data(),
                 lse.as<float>().data());
    Launch<2, e>(ctx, TfKeyGradientKernel<e, kDropout>, p, lists, dk.as<BFloat16>().data(),
                 dv.as<BFloat16>().data(), key_effect ? key_effect.as<float>().data() : nullptr,
                 d_o.as<BFloat16>().data(), lse.as<float>().data(), In(delta).as<float>().data());
  }
  static void Gains(Context& ctx, const TfProblem& query_probe, const TfProblem& key_probe,
                    int64_t lists, Out query_gain, Out key_gain, In d_o, In lse, In delta,
                    In key_effect) {
    Launch<2, e>(ctx, FlipQueryGainKernel<e>, query_probe, lists, query_gain.as<float>().data(),
                 d_o.as<BFloat16>().data(), delta.as<float>().data());
    Launch<2, e>(ctx, FlipKeyGainKernel<e>, key_probe, lists, key_gain.as<float>().data(),
                 d_o.as<BFloat16>().data(), lse.as<float>().data(), delta.as<float>().data(),
                 key_effect.as<float>().data());
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

void TfForward(Context& ctx, Out o, Out lse, In q, In k, In v, const Buckets& buckets,
               const AttentionOptions& options) {
  CheckAligned(o);
  runtime::Scratch::Scope scope(ctx.scratch());
  TfProblem p = Problem(q, k, v, buckets, options);
  if (options.causal) {
    p.key_range = CausalRange(ctx, scope, buckets.key_range, buckets.query_order, buckets.key_order,
                              /*queries=*/true);
  }
  const int64_t lists = q.shape()[0] * q.shape()[2];
  WithWidth(q.shape()[3], options.dropout.enabled(),
            [&](auto width) { width.Forward(ctx, p, lists, o, lse); });
}

void TfBackward(Context& ctx, Out dq, Out dk, Out dv, Out delta, Out key_effect, In d_o, In q, In k,
                In v, In o, In lse, const Buckets& buckets, const AttentionOptions& options) {
  for (In view : {In(dq), In(dk), In(dv), d_o, o}) CheckAligned(view);
  runtime::Scratch::Scope scope(ctx.scratch());
  TfProblem p = Problem(q, k, v, buckets, options);
  if (options.causal) {
    p.key_range = CausalRange(ctx, scope, buckets.key_range, buckets.query_order, buckets.key_order,
                              /*queries=*/true);
    p.query_range = CausalRange(ctx, scope, buckets.query_range, buckets.key_order,
                                buckets.query_order, /*queries=*/false);
  }
  const int64_t lists = q.shape()[0] * q.shape()[2];
  WithWidth(q.shape()[3], options.dropout.enabled(), [&](auto width) {
    width.Backward(ctx, p, lists, dq, dk, dv, delta, key_effect, d_o, o, lse);
  });
}

void FlipGains(Context& ctx, Out query_gain, Out key_gain, In d_o, In q, In k, In v, In lse,
               In delta, In key_effect, const Buckets& query_probe, const Buckets& key_probe,
               bool causal) {
  CheckAligned(d_o);
  runtime::Scratch::Scope scope(ctx.scratch());
  TfProblem queries = Problem(q, k, v, query_probe, {}), keys = Problem(q, k, v, key_probe, {});
  if (causal) {
    queries.key_range = CausalRange(ctx, scope, query_probe.key_range, query_probe.query_order,
                                    query_probe.key_order, /*queries=*/true);
    keys.query_range = CausalRange(ctx, scope, key_probe.query_range, key_probe.key_order,
                                   key_probe.query_order, /*queries=*/false);
  }
  const int64_t lists = q.shape()[0] * q.shape()[2];
  WithWidth(q.shape()[3], /*dropout=*/false, [&](auto width) {
    width.Gains(ctx, queries, keys, lists, query_gain, key_gain, d_o, lse, delta, key_effect);
  });
}

}  // namespace cuda
