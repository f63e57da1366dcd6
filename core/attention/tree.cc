#include "core/attention/tree.h"

#include <cmath>

#include "kernels/tree/buckets/buckets.h"
#include "kernels/tree/dense/soft_tree.h"

namespace treeformer {

namespace {

std::vector<int64_t> EndsOfLevels(const TreeShape& shape) {
  std::vector<int64_t> ends;
  for (int level = 0; level < shape.height(); ++level) ends.push_back(shape.FirstPlane(level + 1));
  return ends;
}

// Rows that cross each node of one head's tree, all levels, from the rows of its leaves.
std::vector<double> CountNodes(const TreeShape& shape, const float* leaves) {
  std::vector<double> nodes(shape.total_nodes(), 0);
  const int height = shape.height();
  for (int64_t i = 0; i < shape.leaves(); ++i) nodes[shape.FirstNode(height) + i] = leaves[i];
  for (int level = height - 1; level >= 0; --level) {
    const int64_t children = shape.FirstNode(level + 1);
    for (int64_t child = 0; child < shape.Nodes(level + 1); ++child) {
      nodes[shape.FirstNode(level) + child / shape.branching[level]] += nodes[children + child];
    }
  }
  return nodes;
}

// bias [P] of one head.
template <typename T>
void NudgeHead(T* bias, const TreeShape& shape, const float* leaves, double step) {
  const std::vector<double> rows = CountNodes(shape, leaves);
  for (int level = 0; level < shape.height(); ++level) {
    const int branching = shape.branching[level];
    for (int64_t node = 0; node < shape.Nodes(level); ++node) {
      const double total = rows[shape.FirstNode(level) + node];
      if (total == 0) continue;
      const double* children = &rows[shape.FirstNode(level + 1) + node * branching];
      T* planes = bias + shape.FirstPlane(level) + node * shape.PlanesOfNode(level);
      if (shape.binary) {
        planes[0] -= step * (children[1] - children[0]) / total;
      } else {
        for (int c = 0; c < branching; ++c)
          planes[c] -= step * (children[c] / total - 1.0 / branching);
      }
    }
  }
}

}  // namespace

Tree::Tree(const LayerBuilder& builder, const std::string& name, const TreeShape& shape,
           int64_t width)
    : parameters_(&builder.parameters),
      shape_(shape),
      heads_(builder.config.heads),
      width_(width),
      counts_(Device::kCpu, DType::kFloat32, {heads_, shape.leaves()}) {
  if (shape.height() == 0) return;
  weight_ = parameters_->Declare(name + ".weight", {heads_, shape.planes(), width},
                                 Initializer::Normal(1 / std::sqrt(static_cast<float>(width))),
                                 Role::kTreeWeight, builder.layer, EndsOfLevels(shape));
  bias_ = parameters_->Declare(name + ".bias", {heads_, shape.planes()}, Initializer::Zeros(),
                               Role::kTreeBias, builder.layer, EndsOfLevels(shape));
}

In Tree::weight() const {
  return weight_ < 0 ? In(nullptr, parameters_->values().dtype(), {heads_, 0, width_})
                     : parameters_->exact_value(weight_);
}

In Tree::bias() const {
  return bias_ < 0 ? In(nullptr, parameters_->values().dtype(), {heads_, 0})
                   : parameters_->exact_value(bias_);
}

void Tree::CountRows(Context& ctx, Ids leaf) {
  const Shape shape{leaf.shape()[0], heads_, shape_.leaves()};
  if (counted_.shape() != shape) counted_ = Buffer(ctx.device(), DType::kInt32, shape);
  CountLeaves(ctx, counted_, leaf);
}

Out Tree::ReadCounts(Context& ctx) {
  if (counted_.bytes() == 0) return counts_;
  const Buffer host(Device::kCpu, DType::kInt32, counted_.shape());
  Copy(ctx, host, counted_);
  Zero(ctx, counted_);
  ctx.Synchronize();
  const View<int32_t> rows = host;
  const View<float> sums = counts_;
  for (int64_t i = 0; i < rows.count(); ++i) sums[i % sums.count()] += rows[i];
  return counts_;
}

void Tree::NudgeBalance(Context& ctx, float step) {
  if (shape_.height() == 0) return;
  const int64_t planes = shape_.planes(), leaves = shape_.leaves();
  const Parameter& parameter = parameters_->list()[bias_];
  const Out bias = Parameters::Window(parameters_->values(), parameter);
  const Buffer host(Device::kCpu, bias.dtype(), bias.shape());
  Copy(ctx, host, bias);
  ctx.Synchronize();
  const View<float> sums = ReadCounts(ctx);
  for (int64_t h = 0; h < heads_; ++h) {
    const float* rows = sums.data() + h * leaves;
    if (host.dtype() == DType::kFloat64) {
      NudgeHead(host.as<double>().data() + h * planes, shape_, rows, step);
    } else {
      NudgeHead(host.as<float>().data() + h * planes, shape_, rows, step);
    }
  }
  Copy(ctx, bias, host);
  parameters_->RoundValues(ctx, parameter.range);
  ctx.Synchronize();  // before `host` goes
  ForgetCounts(ctx);
}

void Tree::ForgetCounts(Context& ctx) {
  const View<float> sums = ReadCounts(ctx);
  std::fill_n(sums.data(), sums.count(), 0.0f);
}

TreeRouting::TreeRouting(Tree* tree, const TreeConfig& config, int64_t layer,
                         RandomPlace flip_place)
    : tree_(tree), config_(config), layer_(layer), flip_place_(flip_place) {}

void TreeRouting::Bind(const LayerMemory& memory, int64_t length) {
  const Shape rows{memory.shape.sequences, tree_->heads(), length};
  leaf_ = memory.activations.MakeInts(rows);
  if (tree_->shape().height() == 0) return;
  strength_ = memory.activations.MakeStatistics(rows);
  if (config_.gradient != TreeGradient::kFlip) return;
  alternative_ = memory.activations.MakeInts(rows);
  own_plane_ = memory.activations.MakeInts(rows);
  other_plane_ = memory.activations.MakeInts(rows);
  margin_ = memory.activations.MakeStatistics(rows);
}

void TreeRouting::Forward(Context& ctx, const Side& side, const MicroBatch& batch) {
  Routing routing{leaf_, strength_, alternative_, own_plane_, other_plane_, margin_};
  if (!batch.step.training) routing = {leaf_, strength_, {}, {}, {}, {}};
  const FlipRule rule{config_.flip_choice, MakeRandomKey(batch.step, layer_, flip_place_),
                      static_cast<uint64_t>(batch.first_sample * leaf_.count() / leaf_.shape()[0])};
  Route(ctx, routing, tree_->Router(side.rows), side.document, rule);
  const bool counts = batch.step.training && !batch.again && config_.balance == Balance::kBias;
  if (counts) tree_->CountRows(ctx, leaf_);
}

void TreeRouting::FlipBackward(Context& ctx, Acc dx, In x, In gain) {
  const FlipDecisions decisions{own_plane_, other_plane_, margin_};
  treeformer::FlipBackward(ctx, tree_->Gradients(dx), gain, tree_->Router(x), decisions,
                           config_.temperature);
}

void TreeRouting::DenseBackward(Context& ctx, Acc dx, In x, In effect) {
  SoftTreeBackward(ctx, tree_->Gradients(dx), effect, tree_->Router(x), strength_, leaf_);
}

void TreeRouting::BalanceBackward(Context& ctx, Acc dx, In x, const MicroBatch& batch) {
  if (config_.balance != Balance::kLoss || tree_->shape().height() == 0) return;
  const int64_t sequences = leaf_.shape()[0];
  Scratch::Scope scope(ctx.scratch());
  const Out effect =
      scope.Take(strength_.dtype(), {sequences, tree_->heads(), 1, tree_->shape().leaves()});
  for (int64_t b = 0; b < sequences; ++b) {
    BalanceEffect(ctx, effect.Rows(b, b + 1), leaf_.Rows(b, b + 1),
                  config_.balance_weight * batch.targets_of[b]);
  }
  DenseBackward(ctx, dx, x, effect);
}

}  // namespace treeformer
