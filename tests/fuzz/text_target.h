#pragma once

// Text of a file, read in blocks of any size: valid UTF-8, in pieces that follow each other.

#include <string>
#include <string_view>

#include "datasets/text_source.h"
#include "datasets/utf8.h"
#include "tests/fuzz/fuzz.h"

namespace treeformer {

// The first two bytes of `input` choose options and block size.
inline void FuzzText(std::string_view input, const std::string& suffix) {
  const int options = TakeByte(&input), block = TakeByte(&input);
  const std::string path = FuzzPath("text" + suffix);
  PutFile(path, input);
  datasets::TextSource source({.inputs = {path},
                               .document = static_cast<datasets::DocumentUnit>((options & 3) % 3),
                               .replace_invalid_utf8 = (options & 4) != 0,
                               .skip_bad_documents = (options & 8) != 0,
                               .zstd_window_log = 20,
                               .block_bytes = 1 + block * 8});
  constexpr size_t kMostBytes = 1 << 14;  // zstd makes much of little
  size_t bytes = 0;
  for (datasets::TextBlock text; bytes < kMostBytes && source.Next(&text);) {
    size_t end = 0;
    for (const auto& piece : text.pieces) {
      Promise(end <= piece.end && piece.end <= text.text.size(), "pieces follow each other");
      end = piece.end;
    }
    Promise(datasets::ValidUtf8Prefix(text.text) == text.text.size(), "text is valid UTF-8");
    bytes += text.text.size() + 1;
  }
}

}  // namespace treeformer
