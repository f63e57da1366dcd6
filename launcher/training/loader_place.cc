#include "launcher/training/loader_place.h"

#include <nlohmann/json.hpp>

#include "kernels/base/user_error.h"

namespace treeformer {

void LoaderPlace::Save(nlohmann::json& state) const {
  const datasets::LoaderState place = loader_.state();
  state["loader"] = {{"seed", place.seed},
                     {"epoch", place.epoch},
                     {"next_sample", place.next_sample},
                     {"step", place.step}};
}

void LoaderPlace::Restore(const nlohmann::json& state, int64_t) {
  const nlohmann::json& loader = state.at("loader");
  for (const char* field : {"seed", "epoch", "next_sample", "step"}) {
    if (loader.at(field).is_number_integer()) continue;
    throw UserError(
        Sentence("loader.", field, " is ", loader.at(field).dump(), "; expected an integer"));
  }
  const datasets::LoaderState place{loader.at("seed"), loader.at("epoch"), loader.at("next_sample"),
                                    loader.at("step")};
  if (place.epoch < 0 || place.next_sample < 0 || place.step < 0) {
    throw UserError(Sentence("its place in the data is negative: ", loader.dump()));
  }
  loader_.Restore(place);
}

}  // namespace treeformer
