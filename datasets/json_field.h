#pragma once

// One string field of a JSON object, without building the object.

#include <string>
#include <string_view>

namespace datasets {

// The string at `field` of the object `json`.  Anything else is a UserError; `where` (file and
// line) begins its sentence.
std::string JsonStringField(std::string_view json, const std::string& field,
                            const std::string& where);

}  // namespace datasets
