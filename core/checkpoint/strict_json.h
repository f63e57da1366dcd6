#pragma once

// JSON of files that others write, where a name that occurs twice has two readings and depth is an
// attack on the stack.

#include <nlohmann/json.hpp>
#include <string>
#include <string_view>

namespace treeformer {

// Throws UserError saying what is wrong, without the file's name: no JSON, a name twice in one
// object, more than `most_depth` objects and arrays within each other.
nlohmann::json ParseStrictJson(std::string_view text, int most_depth);
// Reads a file, whose name the UserError has.
nlohmann::json ReadStrictJson(const std::string& path, int most_depth);

}  // namespace treeformer
