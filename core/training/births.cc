#include "core/training/births.h"

#include <algorithm>
#include <nlohmann/json.hpp>

#include "kernels/base/user_error.h"

namespace treeformer {

using nlohmann::json;

json BirthsOf(const Parameters& parameters, const OptimizerState& state) {
  json births = json::object();
  for (Parameters::Id id = 0; id < std::ssize(parameters.list()); ++id) {
    const auto& born = state.born(id);
    if (std::ranges::count(born, 0) < std::ssize(born)) births[parameters.list()[id].name] = born;
  }
  return births;
}

void RestoreBirths(const json& births, int64_t updates, const Parameters& parameters,
                   OptimizerState& state) {
  const auto fits = [updates](const json& birth) {
    return birth.is_number_integer() && birth.get<int64_t>() >= 0 &&
           birth.get<int64_t>() <= updates;
  };
  for (Parameters::Id id = 0; id < std::ssize(parameters.list()); ++id) {
    const Parameter& parameter = parameters.list()[id];
    const auto found = births.find(parameter.name);
    if (found == births.end()) continue;
    const size_t levels = state.born(id).size();
    if (!found->is_array() || found->size() != levels || !std::ranges::all_of(*found, fits)) {
      throw UserError(Sentence("the births of ", parameter.name, " are ", found->dump(),
                               "; expected ", levels, " numbers of updates, 0 to ", updates));
    }
    state.SetBorn(id, found->get<std::vector<int64_t>>());
  }
}

}  // namespace treeformer
