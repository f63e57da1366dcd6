#pragma once

// core/model/model.proto -> the plain structs, validated once.  A UserError names the field, its
// value and what is allowed.

#include "core/model/model.pb.h"
#include "core/model_config.h"
#include "core/training/bootstrap_plan.h"
#include "core/training/optimizer.h"

namespace treeformer {

// Each layer has its attention before any bootstrap.  `vocabulary` and `sequence_length` come from
// the data.
ModelConfig MakeModelConfig(const config::Model& model, int64_t vocabulary,
                            int64_t sequence_length);
// A plan with trees.  `full_steps` alone (no attention, no tree_steps) is a run without growth.
BootstrapConfig MakeBootstrapConfig(const config::Bootstrap& bootstrap, const ModelConfig& model);
// Throws UserError where a GPU has no kernels for the model's head width or trees.
void RequireGpuKernels(const ModelConfig& model);
OptimizerConfig MakeOptimizerConfig(const config::Optimizer& optimizer);

}  // namespace treeformer
