#include "kernels/tree/documents.h"
#include "kernels/tree/tc/node_tables.h"
#include "kernels/tree/tc/tc_attention.h"

namespace treeformer {
namespace cpu {
namespace {

// query_sum becomes dnu = alpha sum dO.
void NodeGradients(Tables& tables, double* dalpha, const HeadRows& d_o, const float* alpha,
                   const int32_t* query_leaf, int64_t begin, int64_t end, int64_t e) {
  tables.query_sum.Clear();
  for (int64_t i = begin; i < end; ++i) {
    CHECK_GE(query_leaf[i], 0) << "a token of a document has a leaf";
    AddTo(tables.query_sum.leaf(query_leaf[i]), d_o.row(i), /*factor=*/1, e);
  }
  tables.query_sum.SumUp();
  tables.query_sum.ForEachNode([&](int level, int64_t node) {
    dalpha[level] += Dot(tables.query_sum.row(node), tables.mean.row(node), e);
    Scale(tables.query_sum.row(node), alpha[level], e);
  });
}

// folded = sum of dnu / count along the path: what a key in the leaf gets.
void FoldGradients(Tables& tables, int64_t e) {
  tables.folded.ForEachNode([&](int, int64_t node) {
    std::copy_n(tables.query_sum.row(node), e, tables.folded.row(node));
    Scale(tables.folded.row(node), 1 / std::max(*tables.count.row(node), 1.0f), e);
  });
  tables.folded.FoldDown();
}

// folded = sum of dnu / (count + 1), offset = sum of <nu, dnu> / (count + 1) along the path: a key
// v that joins the whole path is worth <v, folded> - offset.
void FoldJoining(Tables& tables, int64_t e) {
  tables.folded.ForEachNode([&](int, int64_t node) {
    const float joined = *tables.count.row(node) + 1;
    std::copy_n(tables.query_sum.row(node), e, tables.folded.row(node));
    Scale(tables.folded.row(node), 1 / joined, e);
    *tables.offset.row(node) = Dot(tables.mean.row(node), tables.folded.row(node), e);
  });
  tables.folded.FoldDown();
  tables.offset.FoldDown();
}

// Where key v already is, count stands instead of count + 1.  effect [L]: of joining everywhere.
void CorrectOwnPath(float* effect, const Tables& tables, const float* v, int32_t leaf,
                    const TreeShape& shape, int64_t e) {
  for (int l = 0; l <= shape.height(); ++l) {
    const int64_t below = shape.leaves() / shape.Nodes(l), m = leaf / below;
    const int64_t node = shape.FirstNode(l) + m;
    const float count = *tables.count.row(node);
    const float* dnu = tables.query_sum.row(node);
    const float correction =
        (Dot(v, dnu, e) - Dot(tables.mean.row(node), dnu, e)) / (count * (count + 1));
    for (int64_t i = m * below; i < (m + 1) * below; ++i) effect[i] += correction;
  }
}

// effect [end - begin, L] = <x, folded of the leaf>
void LeafProducts(float* effect, const Tables& tables, const HeadRows& x, int64_t begin,
                  int64_t end, int64_t L, int64_t e) {
  GemmNT(end - begin, L, e, /*alpha=*/1, {x.row(begin), x.ld}, {tables.folded.leaf(0), e}, effect,
         L);
}

}  // namespace
}  // namespace cpu

void cpu::TcBackward(Context& ctx, const TcGradients& gradients, In d_o_any,
                     const TcOperands& operands) {
  const View<float> dv = gradients.dv, dalpha = gradients.dalpha;
  const View<float> query_effect = gradients.query_effect, key_effect = gradients.key_effect;
  const View<const float> d_o = d_o_any, v = operands.v, alpha = operands.alpha;
  const Ids query_leaf = operands.query_leaf, key_leaf = operands.key_leaf;
  const Ids document = operands.document;
  const TreeShape& shape = operands.shape;
  const int64_t B = v.shape()[0], n = v.shape()[1], H = v.shape()[2], e = v.shape()[3];
  const int64_t levels = shape.height() + 1, L = shape.leaves();
  runtime::Scratch::Scope scope(ctx.scratch());
  const View<double> dalpha_of = scope.Take<double>({B, H, levels});
  std::fill_n(dalpha_of.data(), dalpha_of.count(), 0.0);
#pragma omp parallel
  {
    Tables tables(shape, e);
#pragma omp for collapse(2) schedule(static)
    for (int64_t b = 0; b < B; ++b) {
      for (int64_t h = 0; h < H; ++h) {
        const int64_t rows = (b * H + h) * n;  // the row of position i is rows + i
        const HeadRows v_head(v, b * H + h), d_o_head(d_o, b * H + h);
        const auto dv_row = [&](int64_t j) { return dv.data() + ((b * n + j) * H + h) * e; };
        for (int64_t j = 0; j < n; ++j) std::fill_n(dv_row(j), e, 0.0f);
        if (query_effect) std::fill_n(query_effect.data() + rows * L, n * L, 0.0f);
        if (key_effect) std::fill_n(key_effect.data() + rows * L, n * L, 0.0f);
        const int32_t* leaf = key_leaf.data() + rows;
        ForEachDocument(document.data() + b * n, n, [&](int64_t begin, int64_t end) {
          NodeMeans(tables, v_head, leaf, begin, end, e);
          NodeGradients(tables, dalpha_of.data() + (b * H + h) * levels, d_o_head,
                        alpha.data() + h * levels, query_leaf.data() + rows, begin, end, e);
          FoldGradients(tables, e);
          for (int64_t j = begin; j < end; ++j) {
            std::copy_n(tables.folded.leaf(leaf[j]), e, dv_row(j));
          }
          if (query_effect) {
            FoldMeans(tables, alpha.data() + h * levels, e);
            LeafProducts(query_effect.data() + (rows + begin) * L, tables, d_o_head, begin, end, L,
                         e);
          }
          if (key_effect) {
            FoldJoining(tables, e);
            LeafProducts(key_effect.data() + (rows + begin) * L, tables, v_head, begin, end, L, e);
            for (int64_t j = begin; j < end; ++j) {
              float* effect = key_effect.data() + (rows + j) * L;
              AddTo(effect, tables.offset.leaf(0), /*factor=*/-1, L);
              CorrectOwnPath(effect, tables, v_head.row(j), leaf[j], shape, e);
            }
          }
        });
      }
    }
  }
  for (int64_t i = 0; i < dalpha_of.count(); ++i) dalpha[i % (H * levels)] += dalpha_of[i];
}

void cpu::GainFromEffects(Context& ctx, Out gain, In effect, Ids leaf, Ids alternative) {
  reference::GainFromEffects<float>(ctx, gain, effect, leaf, alternative);  // two reads a row
}

}  // namespace treeformer
