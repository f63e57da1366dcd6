#include "core/checkpoint/strict_json.h"

#include <set>
#include <string>
#include <vector>

#include "kernels/base/mapped_file.h"
#include "kernels/base/user_error.h"

namespace treeformer {

nlohmann::json ParseStrictJson(std::string_view text, int most_depth) {
  using nlohmann::json;
  // The parser takes a NUL for the end of its input.
  if (text.find('\0') != std::string_view::npos) {
    throw UserError("its JSON has a NUL byte");
  }
  std::vector<std::set<std::string>> names;  // of each open object
  const auto check = [&](int depth, json::parse_event_t event, json& parsed) {
    using Event = json::parse_event_t;
    if ((event == Event::object_start || event == Event::array_start) && depth >= most_depth) {
      throw UserError(Sentence("its JSON is nested deeper than ", most_depth));
    }
    if (event == Event::object_start) names.emplace_back();
    if (event == Event::object_end) names.pop_back();
    if (event == Event::key && !names.back().insert(parsed.get<std::string>()).second) {
      throw UserError("its JSON has the name " + parsed.dump() + " twice");
    }
    return true;
  };
  try {
    return json::parse(text.begin(), text.end(), check);
  } catch (const json::exception& error) {
    throw UserError(Sentence("it is not JSON: ", error.what()));
  }
}

nlohmann::json ReadStrictJson(const std::string& path, int most_depth) {
  try {
    return ParseStrictJson(MappedFile(path).bytes(), most_depth);
  } catch (const UserError& error) {
    throw UserError(Sentence(path, " cannot be used: ", error.what()));
  }
}

}  // namespace treeformer
