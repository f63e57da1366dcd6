#include "dist/gather_text.h"

#include <algorithm>

namespace treeformer::dist {

std::vector<std::string> AllGatherText(Communicator& communicator, const std::string& text) {
  const int64_t length = static_cast<int64_t>(communicator.Max(static_cast<double>(text.size())));
  std::vector<int32_t> rows(communicator.size() * length);
  std::vector<int32_t> mine(text.begin(), text.end());
  mine.resize(length);
  communicator.AllGather(View<int32_t>(rows.data(), {communicator.size(), length}),
                         View<int32_t>(mine.data(), {length}), nullptr);
  std::vector<std::string> texts;
  for (auto row = rows.begin(); row != rows.end(); row += length) {
    texts.emplace_back(row, std::find(row, row + length, 0));
  }
  return texts;
}

}  // namespace treeformer::dist
