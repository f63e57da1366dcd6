#pragma once

// Canonical decomposition, NFD, in O(n log n): a run of n combining marks is sorted, where
// utf8proc_decompose moves each mark past the others one by one.   Unicode 14, section 3.11

#include <string>
#include <string_view>

namespace treeformer::datasets {

void Decompose(std::u32string_view text, std::u32string* decomposed);  // overwrites *decomposed

}  // namespace treeformer::datasets
