#pragma once

// Lower case of a letter in its word: Unicode's simple mapping, and the capital sigma that ends a
// word.   Unicode 14, section 3.13, condition Final_Sigma

#include <cstddef>
#include <string_view>

namespace treeformer::datasets {

char32_t LowerCase(std::u32string_view word, size_t i);  // of word[i]

}  // namespace treeformer::datasets
