#pragma once

// The built-in corpus: grammatical English stories, as many as wanted, whose words can often be
// known only from far back: who has which thing, who is where, who is afraid of what is told early
// and asked for late.
//
// Story i is a pure function of (seed, i).  One paragraph a story, no newline inside, ASCII.

#include <cstdint>
#include <string>

#include "datasets/dataset_config.h"

namespace datasets {

// About `mean_words` words (between half and one and a half times as many).
std::string Story(uint64_t seed, int64_t i, int mean_words);

// Writes config.count stories, one a line, to `path`, which appears only when it is whole.
void WriteStories(const StoriesConfig& config, const std::string& path);

}  // namespace datasets
