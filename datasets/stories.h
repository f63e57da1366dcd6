#pragma once

// The built-in corpus: simple English stories, as many as wanted, in which most words can be known
// only from far back, and whose remaining uncertainty is known exactly.
//
// A story has a cast of animals, 4 (of 512 mean words or more: 8) or half of that by a coin, each
// with a manner that is its own in this story alone ("the shy goat"; no word is of two animals).
// It is told in rounds.  A round names each animal once, two in a sentence, in random order but
// half the cast before the other half, so that two places of an animal are more than cast / 4
// sentences, of 8 words at least, apart; sentences about nothing stand in between.  A story has two
// rounds at least: what is masked of an animal stands elsewhere.  The small casts are what a model
// learns first: without them full attention stands on a plateau, on which it knows the animals of a
// story but not whose manner is whose, for 2,000 to 6,000 steps of the quick start, by the seed.
//
// Story i is a pure function of (seed, i, mean_words), the same on every machine.  One paragraph a
// story, no newline inside, ASCII; a sentence begins with a capital letter and ends with a full
// stop.

#include <cstdint>
#include <string>
#include <vector>

#include "datasets/dataset_config.h"

namespace treeformer::datasets {

// Within 15 % of `mean_words` words, and what finishes the last sentence (in short stories the
// second round).
std::string Story(uint64_t seed, int64_t i, int mean_words);

// The entropy, under the generator, of each word and full stop of a story given all others, summed,
// in nats.  It is ln n where the word was drawn freely from a list of n, and 0 elsewhere: another
// word in the place of an animal's, or of the sentence's form, gives what is no story; and the free
// choices are uniform, independent of each other and of the rest.
struct StoryEntropy {
  double nats = 0;
  int64_t tokens = 0;  // words and full stops
};
StoryEntropy EntropyOfStory(uint64_t seed, int64_t i, int mean_words);

// Nats a token over the first 1,000 stories (fewer if there are fewer).
//
// With a vocabulary in which each word is one token, times the share of targets whose own token is
// hidden (mask_share + random_share), it is a lower bound of the expected masked-LM loss of any
// model on unseen stories: a model sees less than all other words of the story, since others are
// masked with it, and of a target left as it is no more can be known than the token itself.
double StoriesEntropy(const StoriesConfig& config);

// Every word that stories can have, as they spell it, and the full stop.
std::vector<std::string> StoryWords();

// Writes config.count stories, one a line, to `path`, which appears only when it is whole.
void WriteStories(const StoriesConfig& config, const std::string& path);

}  // namespace treeformer::datasets
