#pragma once

// The words of the built-in stories.  No word is in two lists, and none is in a sentence of
// datasets/story_sentences.h.

#include <array>
#include <span>
#include <string_view>

namespace treeformer::datasets::story_words {

using Word = std::string_view;

// The cast: each animal of a story has one of these manners.
inline constexpr std::array<Word, 16> kManners = {
    "black", "white", "grey",  "brown",  "spotted", "tame", "lame",  "lazy",
    "fat",   "shy",   "noisy", "hungry", "clever",  "old",  "young", "wild"};

inline constexpr std::array<Word, 16> kAnimals = {
    "horse", "cat",   "goat", "parrot", "donkey", "sheep", "rabbit", "pony",
    "goose", "mouse", "hen",  "owl",    "fox",    "wolf",  "bear",   "dog"};

// Drawn freely in each sentence.
inline constexpr std::array<Word, 8> kTimes = {"Then", "Later",   "Soon",       "Today",
                                               "Once", "Finally", "Afterwards", "Tonight"};

inline constexpr std::array<Word, 8> kMeetings = {"followed", "chased", "found", "met",
                                                  "watched",  "helped", "fed",   "called"};

inline constexpr std::array<Word, 8> kCrowds = {"children", "neighbours", "musicians", "travellers",
                                                "boys",     "girls",      "guests",    "farmers"};

inline constexpr std::array<Word, 8> kDoings = {"slept",   "sang",   "danced", "waited",
                                                "laughed", "talked", "wept",   "whistled"};

inline constexpr std::array<Word, 8> kWeather = {"rain",  "snow", "wind",     "fog",
                                                 "frost", "hail", "sunshine", "mist"};

inline constexpr std::array<std::span<const Word>, 7> kLists = {
    kManners, kAnimals, kTimes, kMeetings, kCrowds, kDoings, kWeather};

}  // namespace treeformer::datasets::story_words
