// The dense operations on a GPU, where there is one, launchers and cuBLASLt included; the kernels
// without one: *_emulated_test.cc.

#include <array>

#include "kernels/activation.h"
#include "kernels/cross_entropy.h"
#include "kernels/embedding.h"
#include "kernels/norm.h"
#include "kernels/residual.h"
#include "tests/kernels/cuda/device_testing.h"
#include "tests/kernels/linear_testing.h"

namespace treeformer {

namespace {

using namespace dense_testing;
using namespace emulated_testing;

class DenseDevice : public DeviceTest {};

std::vector<int32_t> Cycle(int64_t count, int64_t rows) {
  std::vector<int32_t> index(count);
  for (int64_t i = 0; i < count; ++i) index[i] = static_cast<int32_t>(i * 7 % rows);
  return index;
}

TEST_F(DenseDevice, LinearLayersAreTheReferenceRoundedToBFloat16) {
  for (const auto& [N, I, O] :
       {std::array<int64_t, 3>{1, 1, 1}, {7, 17, 5}, {33, 64, 129}, {257, 72, 304}, {5, 0, 3}}) {
    SCOPED_TRACE(testing::Message() << N << " x " << I << " to " << O);
    const auto x = RandomBFloat16(N * I, 1), w = RandomBFloat16(O * I, 2);
    const auto bias = RandomBFloat16(O, 3), dy = RandomBFloat16(N * O, 4);
    auto x64 = ToDouble(x), w64 = ToDouble(w), bias64 = ToDouble(bias), dy64 = ToDouble(dy);
    const Tensor<BFloat16> x_on = Put(x, {N, I}), w_on = Put(w, {O, I}), bias_on = Put(bias, {O});
    const Tensor<BFloat16> dy_on = Put(dy, {N, O}), y = Output({N, O}), pre = Output({N, O});
    std::vector<double> expected(N * O), gelu(N * O);
    reference::LinearGeluForward<double>(testing_util::HostContext(), On(gelu, {N, O}),
                                         On(expected, {N, O}), On(x64, {N, I}), On(w64, {O, I}),
                                         On(bias64, {O}));
    LinearGeluForward(*ctx_, y, pre, x_on, w_on, bias_on);
    const double error = DotTolerance(I + 1);
    ExpectNear(ToFloat(pre.values()), expected, Rounded(expected, error), "pre");
    // of the rounded pre; the derivative of gelu is at most 1.13
    const auto tolerance = [&](int64_t i) {
      return Rounded(gelu, 1.13 * Rounded(expected, error)(i))(i);
    };
    ExpectNear(ToFloat(y.values()), gelu, tolerance, "gelu");

    std::vector<double> dx(N * I), dw = ToDouble(w), dbias = ToDouble(bias);
    reference::LinearBackwardInput<double>(testing_util::HostContext(), On(dx, {N, I}),
                                           On(dy64, {N, O}), On(w64, {O, I}),
                                           /*accumulate=*/false);
    reference::LinearBackwardWeights<double>(testing_util::HostContext(), On(dw, {O, I}),
                                             On(dbias, {O}), On(dy64, {N, O}), On(x64, {N, I}));
    const Tensor<BFloat16> dx_on = Output({N, I});
    const Tensor<float> dw_on = Put(ToFloat(w), {O, I}), dbias_on = Put(ToFloat(bias), {O});
    LinearBackwardInput(*ctx_, dx_on, dy_on, w_on, /*accumulate=*/false);
    LinearBackwardWeights(*ctx_, dw_on, dbias_on, dy_on, x_on);
    ExpectNear(ToFloat(dx_on.values()), dx, Rounded(dx, DotTolerance(O)), "dx");
    ExpectNear(dw_on.values(), dw, DotTolerance(N + 1), "dw");
    ExpectNear(dbias_on.values(), dbias, DotTolerance(N + 1), "dbias");
  }
}

TEST_F(DenseDevice, GemmDoesEveryTranspositionInFloat32) {
  ExpectEveryTransposition(*ctx_, /*K=*/23);
}

TEST_F(DenseDevice, RowsOfYMayBeLongerThanItsColumns) {
  for (const auto& [N, I, O] : {std::array<int64_t, 3>{7, 17, 61}, {33, 64, 2050}}) {
    SCOPED_TRACE(testing::Message() << N << " x " << I << " to " << O);
    const int64_t ld = AlignedColumns(O);
    const auto x = RandomBFloat16(N * I, 1), w = RandomBFloat16(O * I, 2);
    const auto bias = RandomBFloat16(O, 3), dy = RandomBFloat16(N * O, 4);
    auto x64 = ToDouble(x), w64 = ToDouble(w), bias64 = ToDouble(bias), dy64 = ToDouble(dy);
    std::vector<double> y(N * O), dx(N * I), dw = ToDouble(w), dbias = ToDouble(bias);
    reference::LinearForward<double>(testing_util::HostContext(), On(y, {N, O}), On(x64, {N, I}),
                                     On(w64, {O, I}), On(bias64, {O}));
    reference::LinearBackwardInput<double>(testing_util::HostContext(), On(dx, {N, I}),
                                           On(dy64, {N, O}), On(w64, {O, I}),
                                           /*accumulate=*/false);
    reference::LinearBackwardWeights<double>(testing_util::HostContext(), On(dw, {O, I}),
                                             On(dbias, {O}), On(dy64, {N, O}), On(x64, {N, I}));
    const Tensor<BFloat16> x_on = Put(x, {N, I}), w_on = Put(w, {O, I});
    const BFloat16 unwritten = Unwritten(1)[0];
    const Tensor<BFloat16> dy_on = Put(WithRowsOf(dy, O, ld, unwritten), {N, ld});
    const Tensor<BFloat16> y_on = Output({N, ld}), dx_on = Output({N, I});
    const Tensor<float> dw_on = Put(ToFloat(w), {O, I}), dbias_on = Put(ToFloat(bias), {O});
    LinearForward(*ctx_, y_on, x_on, w_on, Put(bias, {O}));
    LinearBackwardInput(*ctx_, dx_on, dy_on, w_on, /*accumulate=*/false);
    LinearBackwardWeights(*ctx_, dw_on, dbias_on, dy_on, x_on);
    std::vector<BFloat16> rows;
    const std::vector<BFloat16> apart = y_on.values();
    for (int64_t i = 0; i < N * ld; ++i) {
      if (i % ld < O) {
        rows.push_back(apart[i]);
      } else {
        ASSERT_EQ(apart[i].bits, unwritten.bits) << "behind the columns of row " << i / ld;
      }
    }
    ExpectNear(ToFloat(rows), y, Rounded(y, DotTolerance(I + 1)), "y");
    ExpectNear(ToFloat(dx_on.values()), dx, Rounded(dx, DotTolerance(O)), "dx");
    ExpectNear(dw_on.values(), dw, DotTolerance(N + 1), "dw");
    ExpectNear(dbias_on.values(), dbias, DotTolerance(N + 1), "dbias");
  }
}

// cuBLASLt's workspace may lie anywhere in a block of scratch that is used again.
TEST_F(DenseDevice, AProductFindsItsWorkspaceBesideScratchOfAnySize) {
  { Scratch::Scope(ctx_->scratch()).Take<float>({16 << 20}); }  // a block of 64 MiB
  const int64_t N = 3, I = 8, O = 5;
  const auto x = RandomBFloat16(N * I, 1), w = RandomBFloat16(O * I, 2);
  auto x64 = ToDouble(x), w64 = ToDouble(w);
  std::vector<double> expected(N * O);
  reference::LinearForward<double>(testing_util::HostContext(), On(expected, {N, O}),
                                   On(x64, {N, I}), On(w64, {O, I}), {});
  const Tensor<BFloat16> x_on = Put(x, {N, I}), w_on = Put(w, {O, I});
  for (const int64_t bytes : {4, 64, 128, 192}) {
    Scratch::Scope scope(ctx_->scratch());
    scope.Take<float>({bytes / 4});
    const Tensor<BFloat16> y = Output({N, O});
    LinearForward(*ctx_, y, x_on, w_on, {});
    ExpectNear(ToFloat(y.values()), expected, Rounded(expected, DotTolerance(I)), "y");
  }
}

TEST_F(DenseDevice, LayerNormIsTheReferenceRoundedToBFloat16) {
  for (const Shape& shape : {Shape{17, 31}, Shape{133, 264}}) {
    const int64_t N = shape[0], C = shape[1];
    const auto x = RandomBFloat16(N * C, 1), gamma = RandomBFloat16(C, 2);
    const auto beta = RandomBFloat16(C, 3), dy = RandomBFloat16(N * C, 4);
    auto x64 = ToDouble(x), gamma64 = ToDouble(gamma), beta64 = ToDouble(beta);
    auto dy64 = ToDouble(dy);
    std::vector<double> y(N * C), mean(N), rstd(N), dx(N * C), dgamma(C), dbeta(C);
    reference::LayerNormForward<double>(testing_util::HostContext(), On(y, shape), On(mean, {N}),
                                        On(rstd, {N}), On(x64, shape), On(gamma64, {C}),
                                        On(beta64, {C}), 1e-5f);
    reference::LayerNormBackward<double>(
        testing_util::HostContext(), {On(dx, shape), On(dgamma, {C}), On(dbeta, {C})},
        On(dy64, shape), On(x64, shape), On(gamma64, {C}), On(mean, {N}), On(rstd, {N}));
    const Tensor<BFloat16> x_on = Put(x, shape), gamma_on = Put(gamma, {C}), y_on = Output(shape);
    const Tensor<BFloat16> dx_on = Output(shape);
    const Tensor<float> mean_on(*ctx_, {N}), rstd_on(*ctx_, {N});
    const Tensor<float> dgamma_on = Put(std::vector<float>(C), {C});
    const Tensor<float> dbeta_on = Put(std::vector<float>(C), {C});
    LayerNormForward(*ctx_, y_on, mean_on, rstd_on, x_on, gamma_on, Put(beta, {C}), 1e-5f);
    LayerNormBackward(*ctx_, {dx_on, dgamma_on, dbeta_on}, Put(dy, shape), x_on, gamma_on, mean_on,
                      rstd_on);
    const double r = *std::max_element(rstd.begin(), rstd.end()), n_error = r * 64 * kRounding;
    ExpectNear(ToFloat(y_on.values()), y, Rounded(y, 2 * n_error + 16 * kRounding), "y");
    ExpectNear(ToFloat(dx_on.values()), dx, Rounded(dx, 8 * r * n_error + 16 * r * kRounding),
               "dx");
    ExpectNear(dgamma_on.values(), dgamma, 4 * DotTolerance(N + 1) + N * n_error, "dgamma");
    ExpectNear(dbeta_on.values(), dbeta, DotTolerance(N + 1), "dbeta");
  }
}

TEST_F(DenseDevice, DropoutAndResidualAreTheReferenceRoundedToBFloat16) {
  for (const int64_t count : {1, 17, 4099}) {
    for (const uint64_t offset : {0, 3}) {
      const Dropout dropout{
          .rate = 0.3f, .key = {.seed = 5, .step = 7, .site = 9}, .offset = offset};
      const auto x = RandomBFloat16(count, 1), branch = RandomBFloat16(count, 2);
      auto x64 = ToDouble(x), branch64 = ToDouble(branch);
      std::vector<double> expected(count), dropped(count);
      reference::AddResidual<double>(testing_util::HostContext(), On(expected, {count}),
                                     On(x64, {count}), On(branch64, {count}), dropout);
      reference::ApplyDropout<double>(testing_util::HostContext(), On(dropped, {count}),
                                      On(x64, {count}), dropout);
      const Tensor<BFloat16> x_on = Put(x, {count}), y = Output({count});
      AddResidual(*ctx_, y, x_on, Put(branch, {count}), dropout);
      ExpectNear(ToFloat(y.values()), expected, Rounded(expected, 5 * kRounding), "y");
      ApplyDropout(*ctx_, x_on, x_on, dropout);
      ExpectNear(ToFloat(x_on.values()), dropped, Rounded(dropped, 5 * kRounding), "in place");
    }
  }
}

TEST_F(DenseDevice, EmbeddingsAreLookedUpAndTheirGradientsAdded) {
  for (const Shape& shape : {Shape{131, 17}, Shape{5003, 40}}) {
    const int64_t N = shape[0], C = shape[1];
    const Shape tokens{97, C}, positions{11, C}, types{2, C};
    auto token_ids = Cycle(N, 97), position_ids = Cycle(N, 11), type_ids = Cycle(N, 2);
    const auto token = RandomBFloat16(97 * C, 1), position = RandomBFloat16(11 * C, 2);
    const auto type = RandomBFloat16(2 * C, 3), dy = RandomBFloat16(N * C, 4);
    auto token64 = ToDouble(token), position64 = ToDouble(position), type64 = ToDouble(type);
    auto dy64 = ToDouble(dy);
    std::vector<double> expected(N * C);
    reference::EmbeddingForward<double>(
        testing_util::HostContext(), On(expected, shape),
        {On(token64, tokens), On(position64, positions), On(type64, types)},
        {On(token_ids, {N}), On(position_ids, {N}), On(type_ids, {N})});
    const Tensor<int32_t> token_on = Put(token_ids, {N}), position_on = Put(position_ids, {N});
    const Tensor<int32_t> type_on = Put(type_ids, {N});
    const Tensor<BFloat16> y = Output(shape), dy_on = Put(dy, shape);
    EmbeddingForward(*ctx_, y, {Put(token, tokens), Put(position, positions), Put(type, types)},
                     {token_on, position_on, type_on});
    ExpectNear(ToFloat(y.values()), expected, Rounded(expected, 5 * kRounding), "y");

    reference::EmbeddingBackward<double>(
        testing_util::HostContext(),
        {On(token64, tokens), On(position64, positions), On(type64, types)}, On(dy64, shape),
        {On(token_ids, {N}), On(position_ids, {N}), On(type_ids, {N})});
    const Tensor<float> d_token = Put(ToFloat(token), tokens), d_type = Put(ToFloat(type), types);
    const Tensor<float> d_position = Put(ToFloat(position), positions);
    EmbeddingBackward(*ctx_, {d_token, d_position, d_type}, dy_on,
                      {token_on, position_on, type_on});
    ExpectNear(d_token.values(), token64, DotTolerance(N + 1), "d_token");
    ExpectNear(d_position.values(), position64, DotTolerance(N + 1), "d_position");
    ExpectNear(d_type.values(), type64, DotTolerance(N + 1), "d_type");

    const Tensor<BFloat16> gathered = Output(shape), dx = Put(type, types);
    GatherRows(*ctx_, gathered, Put(token, tokens), token_on);
    EXPECT_EQ(ToFloat(gathered.values())[C], ToFloat(token)[7 * C]);
    ScatterAddRows(*ctx_, dx, dy_on, type_on);
    ExpectNear(ToFloat(dx.values()), type64, Rounded(type64, DotTolerance(N + 1)), "dx");
  }
}

TEST_F(DenseDevice, CrossEntropyAndItsGradientAreTheReferenceRoundedToBFloat16) {
  for (const Shape& shape : {Shape{7, 17}, Shape{11, 3001}}) {
    const int64_t M = shape[0], V = shape[1];
    const auto logits = RandomBFloat16(M * V, 1);
    auto target = Cycle(M, V);
    target[3] = -1;
    auto expected = ToDouble(logits);
    std::vector<double> loss(M);
    std::vector<int32_t> correct(M);
    reference::SoftmaxCrossEntropy<double>(testing_util::HostContext(), On(loss, {M}),
                                           On(correct, {M}), On(expected, shape), shape[1],
                                           On(target, {M}), /*gradient=*/true);
    const Tensor<BFloat16> logits_on = Put(logits, shape);
    const Tensor<float> loss_on(*ctx_, {M});
    const Tensor<int32_t> correct_on(*ctx_, {M});
    SoftmaxCrossEntropy(*ctx_, loss_on, correct_on, logits_on, V, Put(target, {M}),
                        /*gradient=*/true);
    // |logit| <= 1: exponents up to 2, and sums of V / 256 terms in a thread
    const double term_error = (3 * (3 * 2 + 6) + V / 256 + 16) * kRounding;
    ExpectNear(loss_on.values(), loss, term_error + 16 * kRounding, "loss");
    EXPECT_EQ(correct_on.values(), correct);
    ExpectNear(ToFloat(logits_on.values()), expected, Rounded(expected, 2 * term_error),
               "gradient");
  }
}

TEST_F(DenseDevice, GeluIsTheReferenceRoundedToBFloat16) {
  const int64_t count = 4099;
  const auto x = RandomBFloat16(count, 1), dy = RandomBFloat16(count, 2);
  auto x64 = ToDouble(x), dy64 = ToDouble(dy);
  std::vector<double> y(count), dx(count);
  reference::GeluForward<double>(testing_util::HostContext(), On(y, {count}), On(x64, {count}));
  reference::GeluBackward<double>(testing_util::HostContext(), On(dx, {count}), On(dy64, {count}),
                                  On(x64, {count}));
  const Tensor<BFloat16> x_on = Put(x, {count}), y_on = Output({count}), dx_on = Put(dy, {count});
  GeluForward(*ctx_, y_on, x_on);
  GeluBackward(*ctx_, dx_on, dx_on, x_on);
  ExpectNear(ToFloat(y_on.values()), y, Rounded(y, 16 * kRounding), "y");
  ExpectNear(ToFloat(dx_on.values()), dx, Rounded(dx, 32 * kRounding), "dx");
}

}  // namespace

}  // namespace treeformer
