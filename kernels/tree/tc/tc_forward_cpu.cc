#include "kernels/tree/documents.h"
#include "kernels/tree/tc/node_tables.h"
#include "kernels/tree/tc/tc_attention.h"

namespace treeformer::cpu {

void TcForward(Context&, Out o_any, In v_any, In alpha_any, Ids query_leaf, Ids key_leaf,
               Ids document, const TreeShape& shape) {
  const View<float> o = o_any;
  const View<const float> v = v_any, alpha = alpha_any;
  const int64_t B = v.shape()[0], n = v.shape()[1], H = v.shape()[2], e = v.shape()[3];
#pragma omp parallel
  {
    Tables tables(shape, e);
#pragma omp for collapse(2) schedule(static)
    for (int64_t b = 0; b < B; ++b) {
      for (int64_t h = 0; h < H; ++h) {
        const auto o_row = [&](int64_t i) { return o.data() + ((b * n + i) * H + h) * e; };
        for (int64_t i = 0; i < n; ++i) std::fill_n(o_row(i), e, 0.0f);
        const int32_t* leaf = query_leaf.data() + (b * H + h) * n;
        ForEachDocument(document.data() + b * n, n, [&](int64_t begin, int64_t end) {
          NodeMeans(tables, HeadRows(v, b * H + h), key_leaf.data() + (b * H + h) * n, begin, end,
                    e);
          FoldMeans(tables, alpha.data() + h * (shape.height() + 1), e);
          for (int64_t i = begin; i < end; ++i) {
            std::copy_n(tables.folded.leaf(leaf[i]), e, o_row(i));
          }
        });
      }
    }
  }
}

}  // namespace treeformer::cpu
