#pragma once

// The births of an optimiser's state (core/training/optimizer_state.h), as a checkpoint keeps them:
//
//   {"bert.encoder.layer.3.attention.self.tree.weight": [600, 840], ...}
//
// A parameter whose levels were all there from the beginning is left out.

#include <nlohmann/json_fwd.hpp>

#include "core/training/optimizer_state.h"

namespace treeformer {

nlohmann::json BirthsOf(const Parameters& parameters, const OptimizerState& state);

// Throws UserError where `births` do not fit the parameters or lie beyond the `updates` of the run.
void RestoreBirths(const nlohmann::json& births, int64_t updates, const Parameters& parameters,
                   OptimizerState& state);

}  // namespace treeformer
