// Matrix products for float32.  The result is cut into tiles that depend on the shape alone, and
// one thread makes each.

#include "kernels/activation.h"
#include "kernels/linear.h"
#include "kernels/matrix_product.h"
#include "kernels/parallel.h"

namespace cpu {
void GeluForward(Context& ctx, View<float> y, View<const float> x);            // activation_cpu.cc
void RoundToBFloat16(Context& ctx, View<BFloat16> copy, View<const float> w);  // adamw_cpu.cc

namespace {

struct Tiles {
  int64_t rows, columns;  // of one tile
};

// About 16 tiles, none so small that packing the operands costs more than 3 % of the product.
Tiles TilesOf(int64_t M, int64_t N) {
  const int64_t rows = std::clamp<int64_t>((M / 8 + 63) / 64 * 64, 128, 256);
  const int64_t row_tiles = (M + rows - 1) / rows;
  const int64_t column_tiles = (15 + row_tiles) / row_tiles;
  const int64_t columns = (N / column_tiles + 63) / 64 * 64;
  return {rows, std::max<int64_t>(columns, 384)};
}

// An empty sum over k, which oneDNN refuses.
void ScaleBy(View<float> c, float beta) {
  for (int64_t i = 0; i < c.count(); ++i) c[i] = beta == 0 ? 0 : beta * c[i];
}

// x [rows, columns] as products take it: itself, or rounded into scratch.
Matrix Operand(Context& ctx, Scratch::Scope& scope, View<const float> x) {
  const int64_t columns = x.shape()[1];
  if (ctx.matmul_precision() == MatmulPrecision::kFloat32) return {x.data(), columns};
  const View<BFloat16> rounded = scope.Take<BFloat16>(x.shape());
  RoundToBFloat16(ctx, rounded, x);
  return {rounded.data(), columns, DType::kBFloat16};
}

// y [C, R] = x [R, C]^T in blocks that stay in the nearest cache.
void WriteTransposed(View<float> y, View<const float> x) {
  constexpr int64_t kBlock = 32;
  const int64_t R = x.shape()[0], C = x.shape()[1];
  ParallelChunks(C, kBlock, [&](int64_t, int64_t c_begin, int64_t c_end) {
    for (int64_t r_begin = 0; r_begin < R; r_begin += kBlock) {
      const int64_t r_end = std::min(R, r_begin + kBlock);
      for (int64_t c = c_begin; c < c_end; ++c) {
        float* __restrict y_c = y.data() + c * R;
        for (int64_t r = r_begin; r < r_end; ++r) y_c[r] = x[r * C + c];
      }
    }
  });
}

// c = alpha a op(b) + beta c, then after(tile's rows, tile's columns) while the tile is hot.
template <typename After>
void TiledGemm(Context& ctx, View<float> c, View<const float> a, View<const float> b,
               Transpose transpose_b, float alpha, float beta, const After& after) {
  const bool bt = transpose_b == Transpose::kYes;
  const int64_t M = c.shape()[0], N = c.shape()[1], K = a.shape()[1];
  if (K == 0) {
    ScaleBy(c, beta);
    return after(0, M, 0, N);
  }
  Scratch::Scope scope(ctx.scratch());
  const Matrix A = Operand(ctx, scope, a), B = Operand(ctx, scope, b);
  const auto [tile_rows, tile_columns] = TilesOf(M, N);
  const int64_t row_tiles = (M + tile_rows - 1) / tile_rows;
  const int64_t column_tiles = (N + tile_columns - 1) / tile_columns;
  const int64_t tiles = row_tiles * column_tiles;
#pragma omp parallel for schedule(dynamic) if (tiles > 1)
  for (int64_t tile = 0; tile < tiles; ++tile) {
    const int64_t m = tile / column_tiles * tile_rows, m_end = std::min(M, m + tile_rows);
    const int64_t n = tile % column_tiles * tile_columns, n_end = std::min(N, n + tile_columns);
    MatrixProduct('N', bt ? 'T' : 'N', m_end - m, n_end - n, K, alpha, A.From(m, 0),
                  bt ? B.From(n, 0) : B.From(0, n), beta, c.data() + m * N + n, N);
    after(m, m_end, n, n_end);
  }
}

constexpr auto kNothing = [](int64_t, int64_t, int64_t, int64_t) {};

// c = alpha a^T op(b) + beta c       a [K, M]
// Slab by slab of k, a is transposed first: oneDNN's product of a transposed left side reaches less
// than half the rate of the others in tiles of our size.  Of a transposed b there are no slabs.
void TransposedGemm(Context& ctx, View<float> c, View<const float> a, View<const float> b,
                    Transpose transpose_b, float alpha, float beta) {
  constexpr int64_t kSlab = 4096;  // rows, which bounds the copy
  const int64_t K = a.shape()[0], M = a.shape()[1];
  const bool whole = transpose_b == Transpose::kYes || K <= kSlab;
  const int64_t slab = whole ? std::max<int64_t>(K, 1) : kSlab;  // once, too, if K = 0
  for (int64_t k = 0; k < std::max<int64_t>(K, 1); k += slab) {
    const int64_t k_end = std::min(K, k + slab);
    Scratch::Scope scope(ctx.scratch());
    const View<float> a_slab = scope.Take<float>({M, k_end - k});
    WriteTransposed(a_slab, a.Rows(k, k_end));
    TiledGemm(ctx, c, a_slab, whole ? b : b.Rows(k, k_end), transpose_b, alpha, k == 0 ? beta : 1,
              kNothing);
  }
}

// y += bias in a tile of y [., O]
void AddBias(View<float> y, View<const float> bias, int64_t n, int64_t n_end, int64_t o,
             int64_t o_end) {
  const int64_t O = y.shape()[1];
  for (; n < n_end; ++n) {
    float* __restrict y_n = y.data() + n * O;
    for (int64_t i = o; i < o_end; ++i) y_n[i] += bias[i];
  }
}

// sum += sum_n x_n        x [N, C]
void AddRowSum(Context& ctx, View<float> sum, View<const float> x) {
  const int64_t N = x.shape()[0], C = x.shape()[1], chunk = RowsPerPartialSum(N);
  const int64_t chunks = (N + chunk - 1) / chunk;
  Scratch::Scope scope(ctx.scratch());
  View<float> partial = scope.Take<float>({chunks, C});
  ParallelChunks(N, chunk, [&](int64_t index, int64_t begin, int64_t end) {
    float* __restrict part = partial.data() + index * C;
    std::copy_n(x.data() + begin * C, C, part);
    for (int64_t n = begin + 1; n < end; ++n) {
      const float* __restrict x_n = x.data() + n * C;
      for (int64_t c = 0; c < C; ++c) part[c] += x_n[c];
    }
  });
  for (int64_t index = 0; index < chunks; ++index) {
    for (int64_t c = 0; c < C; ++c) sum[c] += partial[index * C + c];
  }
}

}  // namespace

void Gemm(Context& ctx, View<float> c, View<const float> a, Transpose transpose_a,
          View<const float> b, Transpose transpose_b, float alpha, float beta) {
  if (transpose_a == Transpose::kYes) {
    TransposedGemm(ctx, c, a, b, transpose_b, alpha, beta);
  } else {
    TiledGemm(ctx, c, a, b, transpose_b, alpha, beta, kNothing);
  }
}

void LinearForward(Context& ctx, View<float> y, View<const float> x, View<const float> w,
                   View<const float> bias) {
  TiledGemm(ctx, y, x, w, Transpose::kYes, 1, 0,
            [&](int64_t n, int64_t n_end, int64_t o, int64_t o_end) {
              if (bias) AddBias(y, bias, n, n_end, o, o_end);
            });
}

void LinearGeluForward(Context& ctx, View<float> y, View<float> pre, View<const float> x,
                       View<const float> w, View<const float> bias) {
  LinearForward(ctx, pre, x, w, bias);
  GeluForward(ctx, y, pre);
}

void LinearBackwardInput(Context& ctx, View<float> dx, View<const float> dy, View<const float> w,
                         bool accumulate) {
  TiledGemm(ctx, dx, dy, w, Transpose::kNo, 1, accumulate, kNothing);
}

void LinearBackwardWeights(Context& ctx, View<float> dw, View<float> dbias, View<const float> dy,
                           View<const float> x) {
  TransposedGemm(ctx, dw, dy, x, Transpose::kNo, 1, 1);
  if (dbias) AddRowSum(ctx, dbias, dy);
}

}  // namespace cpu
