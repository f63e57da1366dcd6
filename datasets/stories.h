#pragma once

// The built-in corpus: grammatical English stories, as many as wanted, whose words can often be
// known only from far back: who put what where, who works as what, who fears, eats, owns what is
// told by one sentence and asked for by another, at least RecallDistance words later.  In between
// stand other people's facts and sentences about nothing, and the words of the fact do not occur.
//
// Story i is a pure function of (seed, i, mean_words), the same on every machine.  One paragraph a
// story, no newline inside, ASCII.

#include <cstdint>
#include <string>

#include "datasets/dataset_config.h"

namespace datasets {

// Between half and one and a half times `mean_words` words, the last sentence finished.
std::string Story(uint64_t seed, int64_t i, int mean_words);

// Words between a fact and the question for it in a story of `words` words, at least.
int64_t RecallDistance(int64_t words);

// Writes config.count stories, one a line, to `path`, which appears only when it is whole.
void WriteStories(const StoriesConfig& config, const std::string& path);

}  // namespace datasets
