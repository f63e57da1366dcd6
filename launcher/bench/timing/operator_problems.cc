#include "core/attention/tc_attention_layer.h"
#include "core/attention/tf_attention_layer.h"
#include "launcher/bench/timing/operator_suite.h"
#include "launcher/bench/timing/plain_attentions.h"

namespace treeformer::bench {
namespace {

constexpr int64_t kLongestFull = 32768, kLongestDense = 8192;  // tokens: they cost n^2

OperatorRow Tf(const std::string& name, const TreeShape& shape, double density = 0) {
  AttentionConfig attention;
  attention.kind = &kTfAttention;
  attention.shape = shape;
  return {name, attention, /*spread=*/true, density};
}

OperatorRow Tc(int height) {
  AttentionConfig attention;
  attention.kind = &kTcAttention;
  attention.shape = TreeShape::Binary(height);
  attention.tree.gradient = TreeGradient::kDense;
  return {"TC h=" + std::to_string(height), attention};
}

// What the gates are about comes first.
std::vector<OperatorRow> RowsOfLength(int64_t length) {
  std::vector<OperatorRow> rows = {Tf("TF h=6 balanced", TreeShape::Binary(6)),
                                   Tf("TF h=6 density .3", TreeShape::Binary(6), 0.3),
                                   Tc(7),
                                   Tf("TF h=7 balanced", TreeShape::Binary(7)),
                                   Tf("TF h=8 balanced", TreeShape::Binary(8)),
                                   Tf("TF [100,10] balanced", TreeShape::Kary({100, 10}))};
  if (length <= kLongestDense) {
    rows.push_back(Tf("TF h=6 DENSE", TreeShape::Binary(6)));
    rows.back().attention.tree.gradient = TreeGradient::kDense;
  }
  for (const PlainAttention& plain : PlainAttentions()) {
    const bool full = plain.attention.kind == &kFullAttention;
    if (!full || length <= kLongestFull) rows.push_back({plain.name, plain.attention});
  }
  return rows;
}

}  // namespace

std::vector<OperatorProblem> MakeOperatorProblems(const std::vector<int64_t>& lengths) {
  std::vector<OperatorProblem> problems;
  for (const int64_t length : lengths) {
    const ModuleSize size{.length = length, .heads = 16, .head_width = 64};
    const OperatorRow full{"full", AttentionConfig()};
    if (length == 512) {
      problems.push_back({{.sequences = 16, .length = 512, .heads = 12, .head_width = 64},
                          {Tf("TF h=2 balanced", TreeShape::Binary(2)), full}});
    } else {
      problems.push_back({size, RowsOfLength(length)});
    }
    if (length == 8192) {
      problems.push_back({{.length = 8192, .heads = 8, .head_width = 96},
                          {Tf("TF h=6 balanced", TreeShape::Binary(6)), full}});
    }
  }
  return problems;
}

}  // namespace treeformer::bench
