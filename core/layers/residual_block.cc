#include "core/layers/residual_block.h"

#include "kernels/residual.h"

namespace treeformer {

ResidualBlock::ResidualBlock(const LayerBuilder& builder, std::unique_ptr<Branch> branch,
                             const std::string& norm_name, int64_t layer, RandomPlace place)
    : branch_(std::move(branch)),
      norm_(builder, norm_name),
      weights_(&builder.weights),
      width_(builder.config.width),
      pre_norm_(builder.config.pre_norm),
      dropout_(builder.config.dropout),
      layer_(layer),
      place_(place) {}

void ResidualBlock::Bind(const LayerMemory& memory, int64_t rows) {
  branch_->Bind(memory);
  norm_.Bind(memory, rows);
  kept_ = memory.activations.Make({rows, width_});
  d_branch_ = weights_->Keep(memory.activations, kept_.shape());
}

Dropout ResidualBlock::MakeBranchDropout(const MicroBatch& batch) const {
  return MakeDropout(dropout_, batch, layer_, place_, kept_.count() / batch.sequences());
}

void ResidualBlock::Forward(Context& ctx, Out y, In x, const MicroBatch& batch) {
  if (pre_norm_) norm_.Forward(ctx, kept_, x);
  Scratch::Scope scope(ctx.scratch());
  const Out branch = scope.Take(x.dtype(), x.shape());
  branch_->Forward(ctx, branch, pre_norm_ ? In(kept_) : x, batch);
  AddResidual(ctx, pre_norm_ ? y : kept_, x, branch, MakeBranchDropout(batch));
  if (!pre_norm_) norm_.Forward(ctx, y, kept_);
}

void ResidualBlock::Backward(Context& ctx, Out dx, In dy, In x, const MicroBatch& batch) {
  Scratch::Scope scope(ctx.scratch());
  const Out d_branch = OrScratch(d_branch_, scope, dy.dtype(), dy.shape());
  if (!pre_norm_) {
    norm_.Backward(ctx, dx, dy, kept_);
    ApplyDropout(ctx, d_branch, dx, MakeBranchDropout(batch));
    branch_->Backward(ctx, dx, d_branch, x, batch);
    return;
  }
  const Out d_normed = scope.Take(dy.dtype(), dy.shape());
  ApplyDropout(ctx, d_branch, dy, MakeBranchDropout(batch));
  Zero(ctx, d_normed);
  branch_->Backward(ctx, d_normed, d_branch, kept_, batch);
  norm_.Backward(ctx, d_normed, d_normed, x);
  AddResidual(ctx, dx, dy, d_normed, /*dropout=*/{});
}

}  // namespace treeformer
