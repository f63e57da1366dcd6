#pragma once

// The softmax over the keys of a query's range that TF attention (tf_attention.h) and FLIP's probe
// of queries compute in one pass, with a running maximum (Milakov, Gimelshein 2018; Dao et al.
// 2022).  Scores, weights and sums are float32, with base 2.

#include <cmath>

#include "kernels/tree/tf/tf_tiles.cuh"

namespace treeformer::cuda {

// State of a lane's two rows: max in units of log2, sum of the columns of this lane alone.
struct TfSoftmax {
  float max[2] = {-INFINITY, -INFINITY}, sum[2] = {0, 0};

  // s [16, 64]: scores become exp2(s scale - max), 0 outside of a row's range; correction [2] is
  // what earlier sums must be multiplied by.
  DEVICE void Update(float (&s)[8][4], float (&correction)[2], float scale, const TfRowPair& rows,
                     int first_slot) {
    float base[2] = {max[0], max[1]};
#pragma unroll
    for (int i = 0; i < 8; ++i) {
#pragma unroll
      for (int c = 0; c < 4; ++c) {
        const bool visible = rows.range[c / 2].Holds(first_slot + TfColumn(i, c));
        s[i][c] = visible ? s[i][c] * scale : -INFINITY;
        base[c / 2] = fmaxf(base[c / 2], s[i][c]);
      }
    }
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const float new_max = RowReduce(base[half], device::Max());
      base[half] = new_max == -INFINITY ? 0 : new_max;  // nothing visible yet: all terms are 0
      correction[half] = device::Exp2(max[half] - base[half]);
      max[half] = new_max;
      sum[half] *= correction[half];
    }
#pragma unroll
    for (int i = 0; i < 8; ++i) {
#pragma unroll
      for (int c = 0; c < 4; ++c) {
        s[i][c] = device::Exp2(s[i][c] - base[c / 2]);
        sum[c / 2] += s[i][c];
      }
    }
  }
};

}  // namespace treeformer::cuda
