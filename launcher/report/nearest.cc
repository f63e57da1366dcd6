#include "launcher/report/nearest.h"

#include <algorithm>
#include <numeric>

namespace treeformer {

namespace {

// Levenshtein's distance, one row of the table at a time.
size_t EditDistance(const std::string& a, const std::string& b) {
  std::vector<size_t> row(b.size() + 1);
  std::iota(row.begin(), row.end(), size_t{0});
  for (const char c : a) {
    size_t diagonal = row[0]++;
    for (size_t j = 0; j < b.size(); ++j) {
      const size_t replaced = diagonal + (c == b[j] ? 0 : 1);
      diagonal = row[j + 1];
      row[j + 1] = std::min({replaced, row[j] + 1, row[j + 1] + 1});
    }
  }
  return row.back();
}

}  // namespace

std::string Nearest(const std::string& name, const std::vector<std::string>& candidates) {
  std::string nearest;
  size_t fewest = std::max<size_t>(2, name.size() / 3) + 1;
  for (const std::string& candidate : candidates) {
    const size_t distance = EditDistance(name, candidate);
    if (distance < fewest && distance < name.size()) {
      fewest = distance;
      nearest = candidate;
    }
  }
  return nearest;
}

std::string DidYouMean(const std::string& name, const std::vector<std::string>& candidates,
                       const std::string& prefix) {
  const std::string nearest = Nearest(name, candidates);
  return nearest.empty() ? "" : " (did you mean " + prefix + nearest + "?)";
}

}  // namespace treeformer
