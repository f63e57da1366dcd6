// Matrix products for float32.  The result is cut into tiles that depend on the shape alone, and
// one thread makes each.

#include "kernels/activation.h"
#include "kernels/adamw.h"
#include "kernels/matmul/linear.h"
#include "kernels/matmul/matrix_product.h"
#include "kernels/runtime/parallel.h"

namespace treeformer {
namespace cpu {
namespace {

// Edges of one tile of the result.
struct Tiles {
  int64_t rows, columns;

  int64_t CountIn(int64_t M, int64_t N) const {
    return ((M + rows - 1) / rows) * ((N + columns - 1) / columns);
  }
};

// The edge of so many equal pieces of `length`.
int64_t EdgeOf(int64_t length, int64_t pieces) {
  return ((length + pieces - 1) / pieces + 63) / 64 * 64;
}

// The same of as many pieces as can be `least` or longer, at least one.
int64_t PieceOf(int64_t length, int64_t least) {
  return EdgeOf(length, std::max<int64_t>(1, length / least));
}

// oneDNN packs the operands of tiles from about 512 x 768 on, and makes a fifth more of those a
// second than of smaller ones, which it leaves as they lie.
Tiles PackedTiles(int64_t M, int64_t N) {
  return M < N ? Tiles{PieceOf(M, 768), PieceOf(N, 512)} : Tiles{PieceOf(M, 512), PieceOf(N, 768)};
}

// Eight or more of them, or else about 16 smaller ones.
Tiles TilesOf(int64_t M, int64_t N) {
  const Tiles packed = PackedTiles(M, N);
  if (packed.CountIn(M, N) >= 8) return packed;
  const int64_t rows = std::clamp<int64_t>((M / 8 + 63) / 64 * 64, 128, 256);
  const int64_t row_tiles = (M + rows - 1) / rows;
  const int64_t column_tiles = (15 + row_tiles) / row_tiles;
  const int64_t columns = (N / column_tiles + 63) / 64 * 64;
  return {rows, std::max<int64_t>(columns, 384)};
}

// c = beta c in the first `columns`
void ScaleBy(View<float> c, int64_t columns, float beta) {
  for (int64_t m = 0; m < c.shape()[0]; ++m) {
    float* c_m = c.data() + m * c.shape()[1];
    for (int64_t i = 0; i < columns; ++i) c_m[i] = beta == 0 ? 0 : beta * c_m[i];
  }
}

// x [rows, columns] as products take it: itself, or rounded into scratch.
Matrix Operand(Context& ctx, Scratch::Scope& scope, View<const float> x) {
  const int64_t columns = x.shape()[1];
  if (ctx.matmul_precision() == MatmulPrecision::kFloat32) return {x.data(), columns};
  const View<BFloat16> rounded = scope.Take<BFloat16>(x.shape());
  cpu::RoundToBFloat16(ctx, rounded, x);
  return {rounded.data(), columns, DType::kBFloat16};
}

// c = alpha a op(b) + beta c, then after(tile's rows, tile's columns) while the tile is hot.
template <typename After>
void TiledGemm(Context& ctx, View<float> c, View<const float> a, View<const float> b,
               Transpose transpose_b, float alpha, float beta, const After& after) {
  const bool bt = transpose_b == Transpose::kYes;
  const int64_t M = c.shape()[0], ldc = c.shape()[1];
  const int64_t N = b.shape()[bt ? 0 : 1], K = b.shape()[bt ? 1 : 0];
  if (K == 0) {  // oneDNN refuses an empty sum
    ScaleBy(c, N, beta);
    return after(0, M, 0, N);
  }
  Scratch::Scope scope(ctx.scratch());
  const Matrix A = Operand(ctx, scope, a), B = Operand(ctx, scope, b);
  const Tiles tiles = TilesOf(M, N);
  const int64_t tile_rows = tiles.rows, tile_columns = tiles.columns;
  const int64_t column_tiles = (N + tile_columns - 1) / tile_columns;
  const int64_t count = tiles.CountIn(M, N);
#pragma omp parallel for schedule(dynamic) if (count > 1)
  for (int64_t tile = 0; tile < count; ++tile) {
    const int64_t m = tile / column_tiles * tile_rows, m_end = std::min(M, m + tile_rows);
    const int64_t n = tile % column_tiles * tile_columns, n_end = std::min(N, n + tile_columns);
    MatrixProduct('N', bt ? 'T' : 'N', m_end - m, n_end - n, K, alpha, A.From(m, 0),
                  bt ? B.From(n, 0) : B.From(0, n), beta, c.data() + m * ldc + n, ldc);
    after(m, m_end, n, n_end);
  }
}

constexpr auto kNothing = [](int64_t, int64_t, int64_t, int64_t) {};

// c = beta c + sum_i parts_i        parts [slabs, M, N]
void AddParts(View<float> c, float beta, View<const float> parts) {
  const int64_t slabs = parts.shape()[0], count = c.count();
  if (beta != 1) ScaleBy(c, c.shape()[1], beta);
  ParallelChunks(count, /*chunk=*/4096, [&](int64_t, int64_t begin, int64_t end) {
    float* __restrict sum = c.data();
    for (int64_t slab = 0; slab < slabs; ++slab) {
      const float* __restrict part = parts.data() + slab * count;
      for (int64_t i = begin; i < end; ++i) sum[i] += part[i];
    }
  });
}

// c = alpha a^T op(b) + beta c       a [K, M]
// A gradient of weights: a long sum for a small result.  Where that has few tiles, K is cut into
// slabs, whose sums are added in order.
void TransposedGemm(Context& ctx, View<float> c, View<const float> a, View<const float> b,
                    Transpose transpose_b, float alpha, float beta) {
  constexpr int64_t kWork = 6, kShortest = 256;  // tiles times slabs; rows of a slab
  const bool bt = transpose_b == Transpose::kYes;
  const int64_t K = a.shape()[0], M = c.shape()[0], N = c.shape()[1];
  if (K == 0 || c.count() == 0) return ScaleBy(c, N, beta);  // oneDNN refuses an empty sum
  const Tiles tiles = PackedTiles(M, N);
  const int64_t count = tiles.CountIn(M, N), column_tiles = (N + tiles.columns - 1) / tiles.columns;
  const int64_t wanted = std::min((kWork + count - 1) / count, K / kShortest);
  const int64_t slab = EdgeOf(K, std::max<int64_t>(1, wanted)), slabs = (K + slab - 1) / slab;
  Scratch::Scope scope(ctx.scratch());
  const Matrix A = Operand(ctx, scope, a), B = Operand(ctx, scope, b);
  const View<float> parts = slabs > 1 ? scope.Take<float>({slabs, M, N}) : c.Reshaped({1, M, N});
#pragma omp parallel for schedule(dynamic) if (count * slabs > 1)
  for (int64_t i = 0; i < count * slabs; ++i) {
    const int64_t tile = i % count, k = i / count * slab;
    const int64_t m = tile / column_tiles * tiles.rows, n = tile % column_tiles * tiles.columns;
    MatrixProduct('T', bt ? 'T' : 'N', std::min(tiles.rows, M - m), std::min(tiles.columns, N - n),
                  std::min(slab, K - k), alpha, A.From(k, m), bt ? B.From(n, k) : B.From(k, n),
                  slabs > 1 ? 0 : beta, parts.data() + i / count * M * N + m * N + n, N);
  }
  if (slabs > 1) AddParts(c, beta, parts);
}

// y += bias in a tile of y [., ld]
void AddBias(View<float> y, View<const float> bias, int64_t n, int64_t n_end, int64_t o,
             int64_t o_end) {
  const int64_t ld = y.shape()[1];
  for (; n < n_end; ++n) {
    float* __restrict y_n = y.data() + n * ld;
    for (int64_t i = o; i < o_end; ++i) y_n[i] += bias[i];
  }
}

// sum += sum_n x_n        sum [C], x [N, ld >= C]
void AddRowSum(Context& ctx, View<float> sum, View<const float> x) {
  const int64_t N = x.shape()[0], ld = x.shape()[1], C = sum.count();
  const int64_t chunk = RowsPerPartialSum(N);
  const int64_t chunks = (N + chunk - 1) / chunk;
  Scratch::Scope scope(ctx.scratch());
  View<float> partial = scope.Take<float>({chunks, C});
  ParallelChunks(N, chunk, [&](int64_t index, int64_t begin, int64_t end) {
    float* __restrict part = partial.data() + index * C;
    std::copy_n(x.data() + begin * ld, C, part);
    for (int64_t n = begin + 1; n < end; ++n) {
      const float* __restrict x_n = x.data() + n * ld;
      for (int64_t c = 0; c < C; ++c) part[c] += x_n[c];
    }
  });
  for (int64_t index = 0; index < chunks; ++index) {
    for (int64_t c = 0; c < C; ++c) sum[c] += partial[index * C + c];
  }
}

}  // namespace
}  // namespace cpu

void cpu::Gemm(Context& ctx, Out c, const GemmOperands& operands) {
  const auto& [a, transpose_a, b, transpose_b, alpha, beta] = operands;
  if (transpose_a == Transpose::kYes) {
    TransposedGemm(ctx, c, a, b, transpose_b, alpha, beta);
  } else {
    TiledGemm(ctx, c, a, b, transpose_b, alpha, beta, kNothing);
  }
}

void cpu::LinearForward(Context& ctx, Out y, In x, In w, In bias) {
  TiledGemm(ctx, y, x, w, Transpose::kYes, 1, 0,
            [&](int64_t n, int64_t n_end, int64_t o, int64_t o_end) {
              if (bias) AddBias(y, bias, n, n_end, o, o_end);
            });
}

void cpu::LinearGeluForward(Context& ctx, Out y, Out pre, In x, In w, In bias) {
  cpu::LinearForward(ctx, pre, x, w, bias);
  cpu::GeluForward(ctx, y, pre);
}

void cpu::LinearBackwardInput(Context& ctx, Out dx, In dy, In w, bool accumulate) {
  TiledGemm(ctx, dx, dy, w, Transpose::kNo, 1, accumulate, kNothing);
}

void cpu::LinearBackwardWeights(Context& ctx, Acc dw, Acc dbias, In dy, In x) {
  TransposedGemm(ctx, dw, dy, x, Transpose::kNo, 1, 1);
  if (dbias) AddRowSum(ctx, dbias, dy);
}

}  // namespace treeformer
