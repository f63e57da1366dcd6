#include "kernels/matmul/sbgemm.h"

#include "kernels/runtime/bfloat16.h"
#include "tests/kernels/dense_testing.h"

namespace treeformer {

namespace {

using dense_testing::DotTolerance;
using testing_util::Random;

struct Size {
  int64_t M, N, K;
};

const Size kSizes[] = {{1, 1, 1},  {1, 5, 1},   {5, 1, 1},     {1, 1, 7},      {1, 33, 17},
                       {31, 1, 9}, {7, 3, 300}, {33, 129, 64}, {128, 256, 65}, {67, 31, 1025}};

template <typename T>
std::vector<T> RandomAs(int64_t count, unsigned seed) {
  const std::vector<float> values = Random<float>(count, seed);
  std::vector<T> converted(count);
  if constexpr (std::is_same_v<T, BFloat16>) {
    cpu::RoundToBFloat16(converted.data(), values.data(), count);
  } else {
    converted = values;
  }
  return converted;
}

// Rows of a matrix stand `kGap` elements further apart than they are long.
constexpr int64_t kGap = 3;

// `gemm` against the definition in double, on the same operands, for every transposition, alpha
// and beta; elements between the rows of C stay as they are.
template <typename T, typename Gemm>
void ExpectEveryProduct(const Gemm& gemm) {
  for (const auto& [M, N, K] : kSizes) {
    for (const bool at : {false, true}) {
      for (const bool bt : {false, true}) {
        for (const auto& [alpha, beta] : {std::pair{1.0f, 0.0f}, {0.125f, 1.0f}, {-3.0f, 0.5f}}) {
          SCOPED_TRACE(testing::Message() << M << " x " << N << " x " << K << ", transposed " << at
                                          << bt << ", alpha " << alpha << ", beta " << beta);
          const int64_t lda = (at ? M : K) + kGap, ldb = (bt ? K : N) + kGap, ldc = N + kGap;
          const auto a = RandomAs<T>((at ? K : M) * lda, 1), b = RandomAs<T>((bt ? N : K) * ldb, 2);
          const auto before =
              beta == 0 ? std::vector<float>(M * ldc, NAN) : Random<float>(M * ldc, 3);
          std::vector<float> c = before;
          gemm(at ? 'T' : 'N', bt ? 'T' : 'N', M, N, K, alpha, a.data(), lda, b.data(), ldb, beta,
               c.data(), ldc);
          // alpha and beta C are two terms more
          const double tolerance = (std::abs(alpha) + beta) * DotTolerance(K + 2);
          for (int64_t m = 0; m < M; ++m) {
            for (int64_t n = 0; n < N; ++n) {
              double sum = 0;
              for (int64_t k = 0; k < K; ++k) {
                sum += static_cast<double>(ToFloat32(a[at ? k * lda + m : m * lda + k])) *
                       ToFloat32(b[bt ? n * ldb + k : k * ldb + n]);
              }
              const double expected =
                  alpha * sum + (beta == 0 ? 0 : beta * static_cast<double>(before[m * ldc + n]));
              ASSERT_NEAR(c[m * ldc + n], expected, tolerance) << m << ", " << n;
            }
            for (int64_t n = N; n < ldc; ++n) {
              ASSERT_TRUE(std::bit_cast<uint32_t>(c[m * ldc + n]) ==
                          std::bit_cast<uint32_t>(before[m * ldc + n]));
            }
          }
        }
      }
    }
  }
}

TEST(Sbgemm, IsTheProductOfItsBFloat16Operands) { ExpectEveryProduct<BFloat16>(cpu::Sbgemm); }

TEST(Sbgemm, IsThatByWideningToo) { ExpectEveryProduct<BFloat16>(cpu::WidenedGemm); }

TEST(MatmulGemm, IsTheProductOfFloat32) { ExpectEveryProduct<float>(cpu::MatmulGemm<float>); }

TEST(MatmulGemm, IsTheProductOfBFloat16WhereTheCpuHasIt) {
  if (!cpu::MultipliesBFloat16()) {
    GTEST_SKIP() << "this CPU has no AVX512-BF16: oneDNN's bfloat16 matmul was not run";
  }
  ExpectEveryProduct<BFloat16>(cpu::MatmulGemm<BFloat16>);
}

// Every thread has its own primitives; oneDNN's threads stay out of it.
TEST(MatmulGemm, HasTheSameBitsFromEveryThreadAndInsideParallelRegions) {
  constexpr int64_t M = 64, N = 48, K = 4096;
  const auto a = Random<float>(M * K, 1), b = Random<float>(K * N, 2);
  const auto product = [&] {
    std::vector<float> c(M * N);
    cpu::MatmulGemm('N', 'N', M, N, K, 1.0f, a.data(), K, b.data(), N, 0.0f, c.data(), N);
    return c;
  };
  const std::vector<float> first = product();
  dense_testing::ExpectSameBits(product);
  std::vector<std::vector<float>> results(8);
#pragma omp parallel for num_threads(4)
  for (int i = 0; i < 8; ++i) results[i] = product();
  for (const auto& result : results) EXPECT_EQ(result, first);
}

}  // namespace

}  // namespace treeformer
