// Text in zstd frames of any bytes.

#include "tests/fuzz/text_target.h"

namespace treeformer {

void FuzzOne(std::string_view input) { FuzzText(input, ".txt.zst"); }

}  // namespace treeformer
