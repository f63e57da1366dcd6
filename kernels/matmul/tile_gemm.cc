#undef HWY_TARGET_INCLUDE
#define HWY_TARGET_INCLUDE "kernels/matmul/tile_gemm.cc"
#include "kernels/matmul/tile_gemm.h"

#include <hwy/foreach_target.h>
#include <hwy/highway.h>

HWY_BEFORE_NAMESPACE();
namespace treeformer::cpu::HWY_NAMESPACE {
namespace hn = hwy::HWY_NAMESPACE;
using Floats = hn::ScalableTag<float>;

HWY_INLINE hn::Vec<Floats> LoadFloats(Floats d, const float* x) { return hn::LoadU(d, x); }
HWY_INLINE hn::Vec<Floats> LoadFloats(Floats d, const BFloat16* x) {
  const hn::RebindToUnsigned<Floats> words;
  const auto upper = hn::PromoteTo(words, hn::LoadU(hn::Rebind<uint16_t, Floats>(), &x->bits));
  return hn::BitCast(d, hn::ShiftLeft<16>(upper));
}

template <typename T>
float DotProduct(const T* HWY_RESTRICT a, const T* HWY_RESTRICT b, size_t count) {
  const Floats d;
  const size_t lanes = hn::Lanes(d);
  auto sum0 = hn::Zero(d), sum1 = hn::Zero(d);
  size_t c = 0;
  for (; c + 2 * lanes <= count; c += 2 * lanes) {
    sum0 = hn::MulAdd(LoadFloats(d, a + c), LoadFloats(d, b + c), sum0);
    sum1 = hn::MulAdd(LoadFloats(d, a + c + lanes), LoadFloats(d, b + c + lanes), sum1);
  }
  for (; c + lanes <= count; c += lanes) {
    sum0 = hn::MulAdd(LoadFloats(d, a + c), LoadFloats(d, b + c), sum0);
  }
  float tail = 0;
  for (; c < count; ++c) tail += ToFloat32(a[c]) * ToFloat32(b[c]);
  return hn::GetLane(hn::SumOfLanes(d, hn::Add(sum0, sum1))) + tail;
}

void AddProduct(float* HWY_RESTRICT y, const float* HWY_RESTRICT x, float factor, size_t count) {
  const Floats d;
  const size_t lanes = hn::Lanes(d);
  const auto f = hn::Set(d, factor);
  size_t c = 0;
  for (; c + lanes <= count; c += lanes) {
    hn::StoreU(hn::MulAdd(f, hn::LoadU(d, x + c), hn::LoadU(d, y + c)), d, y + c);
  }
  for (; c < count; ++c) y[c] += factor * x[c];
}

float DotFloats(const float* a, const float* b, size_t count) { return DotProduct(a, b, count); }

template <typename T>
void SmallNTOf(int64_t M, int64_t N, int64_t K, float alpha, Matrix A, Matrix B, float* C,
               int64_t ldc) {
  for (int64_t m = 0; m < M; ++m) {
    for (int64_t n = 0; n < N; ++n) {
      C[m * ldc + n] = alpha * DotProduct(A.as<T>() + m * A.ld, B.as<T>() + n * B.ld, K);
    }
  }
}

// Element (m, k) of A lies at m * row + k * column: both NN and TN.
template <typename T>
void SmallSumOf(int64_t M, int64_t N, int64_t K, float alpha, const T* A, int64_t row,
                int64_t column, Matrix B, float beta, float* C, int64_t ldc) {
  const Floats d;
  const int64_t lanes = hn::Lanes(d);
  for (int64_t m = 0; m < M; ++m, A += row, C += ldc) {
    int64_t n = 0;
    for (; n + 2 * lanes <= N; n += 2 * lanes) {  // two vectors of sums stay in registers
      auto sum0 = hn::Zero(d), sum1 = hn::Zero(d);
      for (int64_t k = 0; k < K; ++k) {
        const auto a = hn::Set(d, ToFloat32(A[k * column]));
        const T* b = B.as<T>() + k * B.ld + n;
        sum0 = hn::MulAdd(a, LoadFloats(d, b), sum0);
        sum1 = hn::MulAdd(a, LoadFloats(d, b + lanes), sum1);
      }
      const auto store = [&](auto sum, float* c) HWY_ATTR {
        sum = hn::Mul(sum, hn::Set(d, alpha));
        hn::StoreU(beta == 0 ? sum : hn::Add(sum, hn::LoadU(d, c)), d, c);
      };
      store(sum0, C + n);
      store(sum1, C + n + lanes);
    }
    for (; n < N; ++n) {
      float sum = 0;
      for (int64_t k = 0; k < K; ++k) {
        sum += ToFloat32(A[k * column]) * ToFloat32(B.as<T>()[k * B.ld + n]);
      }
      C[n] = alpha * sum + (beta == 0 ? 0 : C[n]);
    }
  }
}

void SmallNT(int64_t M, int64_t N, int64_t K, float alpha, Matrix A, Matrix B, float* C,
             int64_t ldc) {
  const auto multiply = A.dtype == DType::kBFloat16 ? SmallNTOf<BFloat16> : SmallNTOf<float>;
  multiply(M, N, K, alpha, A, B, C, ldc);
}

void SmallSum(int64_t M, int64_t N, int64_t K, float alpha, Matrix A, int64_t row, int64_t column,
              Matrix B, float beta, float* C, int64_t ldc) {
  if (A.dtype == DType::kBFloat16) {
    SmallSumOf(M, N, K, alpha, A.as<BFloat16>(), row, column, B, beta, C, ldc);
  } else {
    SmallSumOf(M, N, K, alpha, A.as<float>(), row, column, B, beta, C, ldc);
  }
}

}  // namespace treeformer::cpu::HWY_NAMESPACE
HWY_AFTER_NAMESPACE();

#if HWY_ONCE
#include "kernels/runtime/check.h"

namespace treeformer::cpu {
namespace {

HWY_EXPORT(DotFloats);
HWY_EXPORT(AddProduct);
HWY_EXPORT(SmallNT);
HWY_EXPORT(SmallSum);

constexpr int64_t kSmall = 8192;  // multiply-adds; below it a call costs more than the sums

bool IsSmall(int64_t M, int64_t N, int64_t K) { return M * N * K <= kSmall; }

}  // namespace

void GemmNT(int64_t M, int64_t N, int64_t K, float alpha, Matrix A, Matrix B, float* C,
            int64_t ldc) {
  CHECK(A.dtype == B.dtype);
  if (IsSmall(M, N, K)) {
    HWY_DYNAMIC_DISPATCH(SmallNT)(M, N, K, alpha, A, B, C, ldc);
  } else {
    MatrixProduct('N', 'T', M, N, K, alpha, A, B, /*beta=*/0, C, ldc);
  }
}

void GemmNN(int64_t M, int64_t N, int64_t K, float alpha, Matrix A, Matrix B, float beta, float* C,
            int64_t ldc) {
  CHECK(beta == 0 || beta == 1) << beta;
  CHECK(A.dtype == B.dtype);
  if (IsSmall(M, N, K)) {
    HWY_DYNAMIC_DISPATCH(SmallSum)(M, N, K, alpha, A, A.ld, 1, B, beta, C, ldc);
  } else {
    MatrixProduct('N', 'N', M, N, K, alpha, A, B, beta, C, ldc);
  }
}

void GemmTN(int64_t M, int64_t N, int64_t K, float alpha, Matrix A, Matrix B, float beta, float* C,
            int64_t ldc) {
  CHECK(beta == 0 || beta == 1) << beta;
  CHECK(A.dtype == B.dtype);
  if (IsSmall(M, N, K)) {
    HWY_DYNAMIC_DISPATCH(SmallSum)(M, N, K, alpha, A, 1, A.ld, B, beta, C, ldc);
  } else {
    MatrixProduct('T', 'N', M, N, K, alpha, A, B, beta, C, ldc);
  }
}

float Dot(const float* a, const float* b, int64_t count) {
  return HWY_DYNAMIC_DISPATCH(DotFloats)(a, b, count);
}

void AddTo(float* y, const float* x, float factor, int64_t count) {
  HWY_DYNAMIC_DISPATCH(AddProduct)(y, x, factor, count);
}

}  // namespace treeformer::cpu
#endif  // HWY_ONCE
