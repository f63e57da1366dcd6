// Matrix fragments of a warp (device.cuh): which lane holds what, and their product.

#include "kernels/emulation/emulation.h"

namespace treeformer::emulation {
namespace {

constexpr int kWarp = 32;

float LowFloat(uint32_t word) {
  const uint32_t bits = word << 16;
  float value;
  std::memcpy(&value, &bits, sizeof(value));
  return value;
}
float Half(uint32_t word, int half) { return LowFloat(half == 0 ? word : word >> 16); }

}  // namespace

void LoadTiles(const char* const* row, bool transposed, uint32_t (*out)[4]) {
  for (int tile = 0; tile < 4; ++tile) {
    uint16_t element[8][8];
    for (int r = 0; r < 8; ++r) std::memcpy(element[r], row[8 * tile + r], sizeof(element[r]));
    for (int lane = 0; lane < kWarp; ++lane) {
      const int r = lane / 4, c = lane % 4 * 2;
      const uint32_t low = transposed ? element[c][r] : element[r][c];
      const uint32_t high = transposed ? element[c + 1][r] : element[r][c + 1];
      out[lane][tile] = low | high << 16;
    }
  }
}

void MultiplyAddWarp(const MultiplyAddInput* in, FourFloats* out) {
  float A[16][16], B[16][8], C[16][8] = {};
  for (int lane = 0; lane < kWarp; ++lane) {
    const int group = lane / 4, pair = lane % 4 * 2;
    for (int half = 0; half < 2; ++half) {
      for (int i = 0; i < 4; ++i) {
        A[group + i % 2 * 8][pair + i / 2 * 8 + half] = Half(in[lane].a[i], half);
      }
      for (int i = 0; i < 2; ++i) B[pair + 8 * i + half][group] = Half(in[lane].b[i], half);
    }
  }
  for (int i = 0; i < 16; ++i) {
    for (int k = 0; k < 16; ++k) {
      for (int j = 0; j < 8; ++j) C[i][j] += A[i][k] * B[k][j];
    }
  }
  for (int lane = 0; lane < kWarp; ++lane) {
    const int group = lane / 4, pair = lane % 4 * 2;
    for (int i = 0; i < 4; ++i) {
      out[lane].c[i] = in[lane].c[i] + C[group + i / 2 * 8][pair + i % 2];
    }
  }
}

}  // namespace treeformer::emulation
