#include "kernels/tree/tc/tc_attention.h"

#include <algorithm>
#include <set>

#include "kernels/runtime/dispatch.h"

namespace treeformer {

namespace reference {
namespace {

// One node (level, m) of one document's tree: every sum by going through all rows.
struct Node {
  int64_t leaf_begin, leaf_end;  // the leaves below it
  double count = 0;
  std::vector<double> mean;       // nu [e]
  std::vector<double> query_sum;  // of dO [e]

  bool Holds(int32_t leaf) const { return leaf_begin <= leaf && leaf < leaf_end; }
};

// Rows of one (b, h) of [B, n, H, e].
template <typename T>
struct Head {
  View<const T> x;
  int64_t b, h;
  const T* row(int64_t i) const {
    return x.data() + ((b * x.shape()[1] + i) * x.shape()[2] + h) * x.shape()[3];
  }
};

// visit(level, node, document) for every node of every document of sequence b, head h.  d_o may be
// null: no query_sum.
template <typename T, typename Visit>
void ForEachNode(View<const T> d_o, const TcOperands& operands, int64_t b, int64_t h,
                 const Visit& visit) {
  const auto& [v_any, alpha, query_leaf, key_leaf, document, shape] = operands;
  const View<const T> v = v_any;
  const int64_t n = v.shape()[1], H = v.shape()[2], e = v.shape()[3];
  const Head<T> v_head{v, b, h}, d_o_head{d_o, b, h};
  const std::set<int32_t> documents(document.data() + b * n, document.data() + (b + 1) * n);
  for (const int32_t doc : documents) {
    if (doc < 0) continue;
    for (int level = 0; level <= shape.height(); ++level) {
      const int64_t below = shape.leaves() / shape.Nodes(level);
      for (int64_t m = 0; m < shape.Nodes(level); ++m) {
        Node node{m * below, (m + 1) * below, 0, std::vector<double>(e), std::vector<double>(e)};
        for (int64_t i = 0; i < n; ++i) {
          if (document[b * n + i] != doc) continue;
          const int64_t row = (b * H + h) * n + i;
          if (node.Holds(key_leaf[row])) {
            ++node.count;
            for (int64_t c = 0; c < e; ++c) node.mean[c] += v_head.row(i)[c];
          }
          if (d_o && node.Holds(query_leaf[row])) {
            for (int64_t c = 0; c < e; ++c) node.query_sum[c] += d_o_head.row(i)[c];
          }
        }
        if (node.count > 0) {
          for (double& mean : node.mean) mean /= node.count;
        }
        visit(level, node, doc);
      }
    }
  }
}

}  // namespace
}  // namespace reference

template <typename T>
void reference::TcForward(Context&, Out o_any, const TcOperands& operands) {
  const View<T> o = o_any;
  const View<const T> v = operands.v, alpha = operands.alpha;
  const Ids query_leaf = operands.query_leaf, document = operands.document;
  const TreeShape& shape = operands.shape;
  const int64_t B = v.shape()[0], n = v.shape()[1], H = v.shape()[2], e = v.shape()[3];
  const int64_t levels = shape.height() + 1;
  std::fill_n(o.data(), o.count(), T{0});
  for (int64_t b = 0; b < B; ++b) {
    for (int64_t h = 0; h < H; ++h) {
      ForEachNode<T>({}, operands, b, h, [&](int level, const Node& node, int32_t doc) {
        for (int64_t i = 0; i < n; ++i) {
          if (document[b * n + i] != doc) continue;
          if (!node.Holds(query_leaf[(b * H + h) * n + i])) continue;
          for (int64_t c = 0; c < e; ++c) {
            o[((b * n + i) * H + h) * e + c] += alpha[h * levels + level] * node.mean[c];
          }
        }
      });
    }
  }
}

template <typename T>
void reference::TcBackward(Context&, const TcGradients& gradients, In d_o_any,
                           const TcOperands& operands) {
  const View<T> dv = gradients.dv, dalpha = gradients.dalpha;
  const View<T> query_effect = gradients.query_effect, key_effect = gradients.key_effect;
  const View<const T> d_o = d_o_any, v = operands.v, alpha = operands.alpha;
  const Ids key_leaf = operands.key_leaf, document = operands.document;
  const TreeShape& shape = operands.shape;
  const int64_t B = v.shape()[0], n = v.shape()[1], H = v.shape()[2], e = v.shape()[3];
  const int64_t levels = shape.height() + 1, L = shape.leaves();
  std::fill_n(dv.data(), dv.count(), T{0});
  if (query_effect) std::fill_n(query_effect.data(), query_effect.count(), T{0});
  if (key_effect) std::fill_n(key_effect.data(), key_effect.count(), T{0});
  for (int64_t b = 0; b < B; ++b) {
    for (int64_t h = 0; h < H; ++h) {
      const Head<T> v_head{v, b, h}, d_o_head{d_o, b, h};
      const auto add_node = [&](int level, const Node& node, int32_t doc) {
        const double a = alpha[h * levels + level];
        for (int64_t c = 0; c < e; ++c) {
          dalpha[h * levels + level] += node.query_sum[c] * node.mean[c];
        }
        for (int64_t i = 0; i < n; ++i) {
          if (document[b * n + i] != doc) continue;
          const int64_t row = (b * H + h) * n + i;
          const bool holds_key = node.Holds(key_leaf[row]);
          double as_query = 0, as_key = 0;
          for (int64_t c = 0; c < e; ++c) {
            const double dnu = a * node.query_sum[c];
            if (holds_key) dv[((b * n + i) * H + h) * e + c] += dnu / node.count;
            as_query += d_o_head.row(i)[c] * a * node.mean[c];
            as_key += (v_head.row(i)[c] - node.mean[c]) * dnu;
          }
          as_key /= holds_key ? node.count : node.count + 1;
          for (int64_t m = node.leaf_begin; m < node.leaf_end; ++m) {
            if (query_effect) query_effect[row * L + m] += as_query;
            if (key_effect) key_effect[row * L + m] += as_key;
          }
        }
      };
      ForEachNode<T>(d_o, operands, b, h, add_node);
    }
  }
}

template <typename T>
void reference::GainFromEffects(Context&, Out gain_any, In effect_any, Ids leaf, Ids alternative) {
  const View<T> gain = gain_any;
  const View<const T> effect = effect_any;
  const int64_t L = effect.shape()[3];
  for (int64_t row = 0; row < leaf.count(); ++row) {
    gain[row] =
        leaf[row] < 0 ? T{0} : effect[row * L + alternative[row]] - effect[row * L + leaf[row]];
  }
}

INSTANTIATE_REFERENCE(TcForward)
INSTANTIATE_REFERENCE(TcBackward)
INSTANTIATE_REFERENCE(GainFromEffects)

namespace {

void CheckOperands(const TcOperands& operands) {
  const auto& [v, alpha, query_leaf, key_leaf, document, shape] = operands;
  CHECK_EQ(v.shape().rank(), 4);
  const int64_t B = v.shape()[0], n = v.shape()[1], H = v.shape()[2];
  CHECK_EQ(alpha.shape(), (Shape{H, shape.height() + 1}));
  CHECK_EQ(query_leaf.shape(), (Shape{B, H, n}));
  CHECK_EQ(key_leaf.shape(), (Shape{B, H, n}));
  CHECK_EQ(document.shape(), (Shape{B, n}));
}

}  // namespace

void TcForward(Context& ctx, Out o, const TcOperands& operands) {
  const In v = operands.v;
  CheckOperands(operands);
  CHECK_EQ(o.shape(), v.shape());
  if (v.count() == 0) return;
  DISPATCH(ctx, v.dtype(), TcForward, o, operands);
}

void TcBackward(Context& ctx, const TcGradients& gradients, In d_o, const TcOperands& operands) {
  const auto& [dv, dalpha, query_effect, key_effect] = gradients;
  const In v = operands.v;
  CheckOperands(operands);
  const Shape effects{v.shape()[0], v.shape()[2], v.shape()[1], operands.shape.leaves()};
  CHECK_EQ(dv.shape(), v.shape());
  CHECK_EQ(d_o.shape(), v.shape());
  CHECK_EQ(dalpha.shape(), operands.alpha.shape());
  if (query_effect) CHECK_EQ(query_effect.shape(), effects);
  if (key_effect) CHECK_EQ(key_effect.shape(), effects);
  if (v.count() == 0) return;
  DISPATCH(ctx, v.dtype(), TcBackward, gradients, d_o, operands);
}

void GainFromEffects(Context& ctx, Out gain, In effect, Ids leaf, Ids alternative) {
  CHECK_EQ(leaf.shape().rank(), 3);
  CHECK_EQ(gain.shape(), leaf.shape());
  CHECK_EQ(alternative.shape(), leaf.shape());
  CHECK_EQ(effect.shape(),
           (Shape{leaf.shape()[0], leaf.shape()[1], leaf.shape()[2], effect.shape()[3]}));
  if (gain.count() == 0) return;
  DISPATCH(ctx, effect.dtype(), GainFromEffects, gain, effect, leaf, alternative);
}

}  // namespace treeformer
