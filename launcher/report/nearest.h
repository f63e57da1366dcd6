#pragma once

// The name a user probably meant: for messages that refuse an unknown flag, command or field.

#include <string>
#include <vector>

namespace treeformer {

// The candidate with the fewest insertions, deletions and replacements, empty when all are far
// (more than a third of the letters, at least 2).
std::string Nearest(const std::string& name, const std::vector<std::string>& candidates);

// " (did you mean X?)", or nothing when no candidate is near.  `prefix` stands before the
// candidate.
std::string DidYouMean(const std::string& name, const std::vector<std::string>& candidates,
                       const std::string& prefix = "");

}  // namespace treeformer
