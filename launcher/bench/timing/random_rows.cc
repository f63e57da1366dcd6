#include "launcher/bench/timing/random_rows.h"

#include <algorithm>
#include <random>
#include <vector>

#include "kernels/runtime/bfloat16.h"

namespace treeformer::bench {
namespace {

constexpr int64_t kChunk = 1 << 14;      // elements of one random sequence
constexpr int64_t kSlice = kChunk * 64;  // elements on the host at a time

void FillChunk(float* values, int64_t count, uint64_t seed, int64_t chunk) {
  std::seed_seq sequence{seed, static_cast<uint64_t>(chunk)};
  std::mt19937 engine(sequence);
  std::normal_distribution<float> normal;
  std::generate_n(values, count, [&] { return normal(engine); });
}

}  // namespace

void FillNormal(Context& ctx, Out values, uint64_t seed) {
  const bool rounds = values.dtype() == DType::kBFloat16;
  CHECK(rounds || values.dtype() == DType::kFloat32);
  const int64_t count = values.count(), size = std::min(count, kSlice);
  const Out flat = values.Reshaped({count});
  std::vector<float> slice(size);
  std::vector<BFloat16> rounded(rounds ? size : 0);
  for (int64_t begin = 0; begin < count; begin += kSlice) {
    const int64_t slice_count = std::min(kSlice, count - begin);
#pragma omp parallel for
    for (int64_t first = 0; first < slice_count; first += kChunk) {
      const int64_t chunk_count = std::min(kChunk, slice_count - first);
      FillChunk(slice.data() + first, chunk_count, seed, (begin + first) / kChunk);
      if (rounds) cpu::RoundToBFloat16(rounded.data() + first, slice.data() + first, chunk_count);
    }
    const In source = rounds ? In(View<const BFloat16>(rounded.data(), {slice_count}))
                             : In(View<const float>(slice.data(), {slice_count}));
    Copy(ctx, flat.Rows(begin, begin + slice_count), source);
  }
}

}  // namespace treeformer::bench
