// JSON lines of any bytes.

#include "tests/fuzz/text_target.h"

void FuzzOne(std::string_view input) { FuzzText(input, ".jsonl"); }
