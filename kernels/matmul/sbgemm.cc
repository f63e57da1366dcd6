#include "kernels/matmul/sbgemm.h"

#include <dnnl.h>
#include <dnnl_debug.h>

#include <algorithm>
#include <array>
#include <optional>
#include <vector>

#include "kernels/matmul/sgemm.h"
#include "kernels/runtime/bfloat16.h"
#include "kernels/runtime/check.h"
#include "kernels/runtime/handle.h"
#include "kernels/runtime/single_thread.h"

namespace treeformer::cpu {
namespace {

void DestroyEngine(dnnl_engine_t engine) noexcept { DNNL_CHECK(dnnl_engine_destroy(engine)); }
void DestroyStream(dnnl_stream_t stream) noexcept { DNNL_CHECK(dnnl_stream_destroy(stream)); }
void DestroyMemory(dnnl_memory_t memory) noexcept { DNNL_CHECK(dnnl_memory_destroy(memory)); }
void DestroyAttributes(dnnl_primitive_attr_t attributes) noexcept {
  DNNL_CHECK(dnnl_primitive_attr_destroy(attributes));
}
void DestroyPostOps(dnnl_post_ops_t post_ops) noexcept {
  DNNL_CHECK(dnnl_post_ops_destroy(post_ops));
}
void DestroyDescription(dnnl_primitive_desc_t description) noexcept {
  DNNL_CHECK(dnnl_primitive_desc_destroy(description));
}
void DestroyPrimitive(dnnl_primitive_t primitive) noexcept {
  DNNL_CHECK(dnnl_primitive_destroy(primitive));
}

using Engine = Handle<dnnl_engine_t, DestroyEngine>;
using Stream = Handle<dnnl_stream_t, DestroyStream>;
using Memory = Handle<dnnl_memory_t, DestroyMemory>;
using Attributes = Handle<dnnl_primitive_attr_t, DestroyAttributes>;
using PostOps = Handle<dnnl_post_ops_t, DestroyPostOps>;
using Description = Handle<dnnl_primitive_desc_t, DestroyDescription>;
using Primitive = Handle<dnnl_primitive_t, DestroyPrimitive>;

// Make<Memory>(dnnl_memory_create, ...): the owner of what the call gives back first.
template <typename Owner, typename Create, typename... Arguments>
Owner Make(Create create, Arguments... arguments) {
  decltype(Owner().get()) made = nullptr;
  DNNL_CHECK(create(&made, arguments...));
  return Owner(made);
}

template <typename T>
constexpr dnnl_data_type_t kType = dnnl_f32;
template <>
constexpr dnnl_data_type_t kType<BFloat16> = dnnl_bf16;

// op(X) [rows, columns], of X as stored.
dnnl_memory_desc_t Describe(dnnl_data_type_t type, char transpose, int64_t rows, int64_t columns,
                            int64_t ld) {
  const bool transposed = transpose == 'T';
  const dnnl_dims_t extents{rows, columns}, strides{transposed ? 1 : ld, transposed ? ld : 1};
  dnnl_memory_desc_t description;
  DNNL_CHECK(dnnl_memory_desc_init_by_strides(&description, /*ndims=*/2, extents, type, strides));
  return description;
}

// C = alpha op(A) op(B), or C += alpha op(A) op(B), for all shapes; sizes and alpha come with a
// call.
template <typename T>
class Matmul {
 public:
  Matmul(dnnl_engine_t engine, char transpose_a, char transpose_b, bool accumulates)
      : engine_(engine), transpose_a_(transpose_a), transpose_b_(transpose_b) {
    constexpr int64_t kAny = DNNL_RUNTIME_DIM_VAL;
    const dnnl_memory_desc_t a = Describe(kType<T>, transpose_a, kAny, kAny, kAny);
    const dnnl_memory_desc_t b = Describe(kType<T>, transpose_b, kAny, kAny, kAny);
    const dnnl_memory_desc_t c = Describe(dnnl_f32, 'N', kAny, kAny, kAny);
    dnnl_matmul_desc_t operation;
    DNNL_CHECK(dnnl_matmul_desc_init(&operation, &a, &b, /*bias_desc=*/nullptr, &c));
    const Attributes attributes = Make<Attributes>(dnnl_primitive_attr_create);
    const float at_execution = DNNL_RUNTIME_F32_VAL;
    DNNL_CHECK(dnnl_primitive_attr_set_output_scales(attributes.get(), /*count=*/1, /*mask=*/0,
                                                     &at_execution));
    if (accumulates) {
      const PostOps post_ops = Make<PostOps>(dnnl_post_ops_create);
      DNNL_CHECK(dnnl_post_ops_append_sum(post_ops.get(), /*scale=*/1));
      DNNL_CHECK(dnnl_primitive_attr_set_post_ops(attributes.get(), post_ops.get()));
    }
    const Description description = Make<Description>(dnnl_primitive_desc_create, &operation,
                                                      attributes.get(), engine, /*hint=*/nullptr);
    primitive_ = Make<Primitive>(dnnl_primitive_create, description.get());
    const dnnl_dims_t one{1};
    dnnl_memory_desc_t scalar;
    DNNL_CHECK(dnnl_memory_desc_init_by_strides(&scalar, /*ndims=*/1, one, dnnl_f32, one));
    alpha_memory_ = Make<Memory>(dnnl_memory_create, &scalar, engine, static_cast<void*>(&alpha_));
  }

  void Run(dnnl_stream_t stream, int64_t M, int64_t N, int64_t K, float alpha, const T* A,
           int64_t lda, const T* B, int64_t ldb, float* C, int64_t ldc) {
    const Memory a = Wrap(Describe(kType<T>, transpose_a_, M, K, lda), A);
    const Memory b = Wrap(Describe(kType<T>, transpose_b_, K, N, ldb), B);
    const Memory c = Wrap(Describe(dnnl_f32, 'N', M, N, ldc), C);
    alpha_ = alpha;
    const std::array<dnnl_exec_arg_t, 4> arguments{
        {{DNNL_ARG_SRC, a.get()},
         {DNNL_ARG_WEIGHTS, b.get()},
         {DNNL_ARG_DST, c.get()},
         {DNNL_ARG_ATTR_OUTPUT_SCALES, alpha_memory_.get()}}};
    DNNL_CHECK(
        dnnl_primitive_execute(primitive_.get(), stream, arguments.size(), arguments.data()));
  }

 private:
  Memory Wrap(const dnnl_memory_desc_t& description, const void* data) const {
    return Make<Memory>(dnnl_memory_create, &description, engine_, const_cast<void*>(data));
  }

  const dnnl_engine_t engine_;
  const char transpose_a_, transpose_b_;
  Primitive primitive_;
  float alpha_ = 1;
  Memory alpha_memory_;
};

// The primitives of one thread: oneDNN wants one executed by the thread that made it.
template <typename T>
class Matmuls {
 public:
  Matmul<T>& Get(char transpose_a, char transpose_b, bool accumulates) {
    auto& matmul = matmuls_[4 * (transpose_a == 'T') + 2 * (transpose_b == 'T') + accumulates];
    if (!matmul) matmul.emplace(engine_.get(), transpose_a, transpose_b, accumulates);
    return *matmul;
  }
  dnnl_stream_t stream() const { return stream_.get(); }

 private:
  Engine engine_ = Make<Engine>(dnnl_engine_create, dnnl_cpu, /*index=*/0);
  Stream stream_ = Make<Stream>(dnnl_stream_create, engine_.get(), dnnl_stream_default_flags);
  std::array<std::optional<Matmul<T>>, 8> matmuls_;
};

void Scale(float* C, int64_t M, int64_t N, int64_t ldc, float factor) {
  for (int64_t m = 0; m < M; ++m) {
    for (int64_t n = 0; n < N; ++n) C[m * ldc + n] *= factor;
  }
}

// A part of a matrix in float32, laid out alike.
struct Widened {
  std::vector<float> values;
  int64_t ld = 0;

  void Fill(const BFloat16* x, int64_t ld_x, int64_t rows, int64_t columns) {
    ld = columns;
    values.resize(rows * columns);
    for (int64_t r = 0; r < rows; ++r) {
      WidenToFloat32(values.data() + r * columns, x + r * ld_x, columns);
    }
  }
};

}  // namespace

bool MultipliesBFloat16() {
  static const bool multiplies = (dnnl_get_effective_cpu_isa() & dnnl_cpu_isa_avx512_core_bf16) ==
                                 dnnl_cpu_isa_avx512_core_bf16;
  return multiplies;
}

template <typename T>
void MatmulGemm(char transpose_a, char transpose_b, int64_t M, int64_t N, int64_t K, float alpha,
                const T* A, int64_t lda, const T* B, int64_t ldb, float beta, float* C,
                int64_t ldc) {
  const SingleThread single_thread;
  thread_local Matmuls<T> matmuls;
  if (beta != 0 && beta != 1) Scale(C, M, N, ldc, beta);
  matmuls.Get(transpose_a, transpose_b, /*accumulates=*/beta != 0)
      .Run(matmuls.stream(), M, N, K, alpha, A, lda, B, ldb, C, ldc);
}

template void MatmulGemm(char, char, int64_t, int64_t, int64_t, float, const float*, int64_t,
                         const float*, int64_t, float, float*, int64_t);
template void MatmulGemm(char, char, int64_t, int64_t, int64_t, float, const BFloat16*, int64_t,
                         const BFloat16*, int64_t, float, float*, int64_t);

void WidenedGemm(char transpose_a, char transpose_b, int64_t M, int64_t N, int64_t K, float alpha,
                 const BFloat16* A, int64_t lda, const BFloat16* B, int64_t ldb, float beta,
                 float* C, int64_t ldc) {
  constexpr int64_t kDepth = 256;  // terms of a sum at once: what is widened stays in the cache
  thread_local Widened a, b;
  for (int64_t k = 0; k < K; k += kDepth) {
    const int64_t depth = std::min(kDepth, K - k);
    if (transpose_a == 'T') {
      a.Fill(A + k * lda, lda, depth, M);
    } else {
      a.Fill(A + k, lda, M, depth);
    }
    if (transpose_b == 'T') {
      b.Fill(B + k, ldb, N, depth);
    } else {
      b.Fill(B + k * ldb, ldb, depth, N);
    }
    Sgemm(transpose_a, transpose_b, M, N, depth, alpha, a.values.data(), a.ld, b.values.data(),
          b.ld, k == 0 ? beta : 1, C, ldc);
  }
}

void Sbgemm(char transpose_a, char transpose_b, int64_t M, int64_t N, int64_t K, float alpha,
            const BFloat16* A, int64_t lda, const BFloat16* B, int64_t ldb, float beta, float* C,
            int64_t ldc) {
  const auto multiply = MultipliesBFloat16() ? MatmulGemm<BFloat16> : WidenedGemm;
  multiply(transpose_a, transpose_b, M, N, K, alpha, A, lda, B, ldb, beta, C, ldc);
}

}  // namespace treeformer::cpu
