#include "kernels/tree/documents.h"
#include "kernels/tree/tc/node_tables.h"
#include "kernels/tree/tc/tc_attention.h"

namespace treeformer {

void cpu::TcForward(Context&, Out o_any, const TcOperands& operands) {
  const View<float> o = o_any;
  const View<const float> v = operands.v, alpha = operands.alpha;
  const Ids query_leaf = operands.query_leaf, key_leaf = operands.key_leaf;
  const Ids document = operands.document;
  const TreeShape& shape = operands.shape;
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

}  // namespace treeformer
