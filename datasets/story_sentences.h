#pragma once

// The sentences of the built-in stories.  In braces:
//
//   0 1, 2 3        manner and name of two animals of the cast
//   T, m, c, d, w   drawn freely: when it happened, how they met, people, what they did, weather

#include "datasets/story_words.h"

namespace treeformer::datasets::story_sentences {

using story_words::Word;

inline constexpr Word kMeeting = "{T} the {0} {1} {m} the {2} {3}";

// About nothing that is asked for again.
inline constexpr Word kFiller = "{T} the {c} {d} in the {w}";

}  // namespace treeformer::datasets::story_sentences
