#pragma once

// Stateful: a component of a run whose state a checkpoint keeps, as fields of the one JSON object
// `state` of its manifest.

#include <cstdint>
#include <nlohmann/json_fwd.hpp>

namespace treeformer {

class Stateful {
 public:
  virtual ~Stateful() = default;

  // Adds its fields, which are no other component's.
  virtual void Save(nlohmann::json& state) const = 0;
  // Becomes what it was at Save, also of an older version, whose fields may be fewer.  `step`: that
  // of the checkpoint.  UserError saying what is wrong, without the name of the checkpoint; or an
  // exception of nlohmann::json where a field is missing or of another type.
  virtual void Restore(const nlohmann::json& state, int64_t step) = 0;
};

}  // namespace treeformer
