#pragma once

// LoaderPlace: where a loader stands in its data, as a checkpoint keeps it:
//
//   "loader": {"seed": 1, "epoch": 0, "next_sample": 3200, "step": 100}

#include "core/stateful.h"
#include "datasets/loader.h"

namespace treeformer {

class LoaderPlace : public Stateful {
 public:
  explicit LoaderPlace(datasets::Loader& loader) : loader_(loader) {}

  void Save(nlohmann::json& state) const override;
  void Restore(const nlohmann::json& state, int64_t step) override;

 private:
  datasets::Loader& loader_;
};

}  // namespace treeformer
