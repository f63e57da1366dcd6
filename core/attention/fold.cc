#include "core/attention/fold.h"

#include <set>

#include "core/layer.h"
#include "kernels/matmul/linear.h"

namespace treeformer {

namespace {

Out WindowOf(const Parameters& parameters, const std::string& name) {
  const Parameter* parameter = parameters.Find(name);
  CHECK(parameter != nullptr) << "no parameter " << name;
  return Parameters::Window(parameters.values(), *parameter);
}

// `self`: bert.encoder.layer.3.attention.self     side: query or key
void FoldTree(Context& ctx, Parameters& to, const Parameters& from, const std::string& self,
              const std::string& side) {
  const Out folded_weight = WindowOf(to, self + "." + side + "_tree.weight");
  const Out folded_bias = WindowOf(to, self + "." + side + "_tree.bias");
  const In weight = WindowOf(from, self + ".tree.weight");
  const In projection = WindowOf(from, self + "." + side + ".weight");
  const In shift = WindowOf(from, self + "." + side + ".bias");
  const int64_t H = weight.shape()[0], P = weight.shape()[1], e = weight.shape()[2];
  const int64_t d = projection.shape()[1];
  Copy(ctx, folded_bias, WindowOf(from, self + ".tree.bias"));
  for (int64_t h = 0; h < H; ++h) {
    const In w = weight.Rows(h, h + 1).Reshaped({P, e});
    Gemm(ctx, folded_weight.Rows(h, h + 1).Reshaped({P, d}),
         {w, Transpose::kNo, projection.Rows(h * e, (h + 1) * e)});
    Gemm(ctx, folded_bias.Rows(h, h + 1).Reshaped({P, 1}),
         {w, Transpose::kNo, shift.Rows(h * e, (h + 1) * e).Reshaped({e, 1}), Transpose::kNo,
          /*alpha=*/1, /*beta=*/1});
  }
}

}  // namespace

void FoldProjections(Context& ctx, Parameters& to, const Parameters& from) {
  std::set<int64_t> folded;  // layers
  for (const Parameter& parameter : to.list()) {
    if (const Parameter* same = from.Find(parameter.name)) {
      CHECK_EQ(same->shape, parameter.shape) << parameter.name;
      Copy(ctx, Parameters::Window(to.values(), parameter),
           Parameters::Window(from.values(), *same));
    } else {
      CHECK(IsOfTree(parameter.role)) << "no parameter to fold into " << parameter.name;
      folded.insert(parameter.layer);
    }
  }
  for (int64_t layer : folded) {
    const std::string self = EncoderLayerName(layer) + ".attention.self";
    FoldTree(ctx, to, from, self, "query");
    FoldTree(ctx, to, from, self, "key");
  }
  to.RoundValues(ctx);
}

}  // namespace treeformer
