#pragma once

// Births: how many updates the run had done when each level of a parameter came to be
// (Parameter::born), as a checkpoint keeps them:
//
//   {"bert.encoder.layer.3.attention.self.tree.weight": [600, 840], ...}
//
// A parameter whose levels were all there from the beginning is left out.

#include <nlohmann/json_fwd.hpp>
#include <string>

#include "core/parameters.h"

namespace treeformer {

nlohmann::json BirthsOf(const Parameters& parameters);

// Throws UserError naming `checkpoint` where `births`, from it, do not fit the parameters or lie
// beyond the `updates` of the run.
void RestoreBirths(const nlohmann::json& births, int64_t updates, const std::string& checkpoint,
                   Parameters& parameters);

}  // namespace treeformer
