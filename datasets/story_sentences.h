#pragma once

// The sentences of the built-in stories.  In braces:
//
//   N            a person; s, h, m: she or he, her or his, her or him
//   M            another person
//   0, 1, 2      the words of the fact
//   P, L         a place with its preposition ("in the attic"), and without it ("the attic")
//   a            "a" or "an"
//   T            when it happened, at the begin of a sentence
//   d, w, c, f   filling words: how long, weather, people, feelings

#include <algorithm>
#include <array>
#include <initializer_list>

#include "datasets/story_words.h"

namespace datasets::story_sentences {

using story_words::Word;

// Up to four.
template <typename T>
struct List {
  std::array<T, 4> items = {};
  size_t count = 0;

  constexpr List(std::initializer_list<T> list) : count(list.size()) {
    std::copy(list.begin(), list.end(), items.begin());
  }
  constexpr size_t size() const { return count; }
  constexpr const T& operator[](size_t i) const { return items[i]; }
  constexpr const T* begin() const { return items.data(); }
  constexpr const T* end() const { return items.data() + count; }
};

// Told by one sentence, asked for by another: what is asked can be known only from what was told.
struct FactForm {
  bool once;                      // at most once a person
  List<story_words::Kind> words;  // {0}, {1}, ...; a place is {P} and {L}, and stands last
  List<Word> tell, ask;
};

// The first two are those that may come again.
inline constexpr std::array<FactForm, 8> kFactForms = {{
    {false,
     {story_words::kAdjective, story_words::kObject, story_words::kPlace},
     {"{N} put the {0} {1} {P}.", "{N} hid {a} {0} {1} {P} and told nobody.",
      "{N} had {a} {0} {1} and kept it {P}.", "{T} {N} left {h} {0} {1} {P}."},
     {"{T} {N} went back to {L} to fetch the {0} {1}.",
      "The {0} {1} was still {P}, where {N} had left it.",
      "{N} remembered the {0} {1} and ran to {L}.",
      "{T} {N} was looking for the {0} {1}, and {s} found it {P}."}},
    {false,
     {story_words::kAdjective, story_words::kObject},
     {"{N} lent the {0} {1} to {M}.", "{M} borrowed {a} {0} {1} from {N}.",
      "{T} {N} gave {M} {a} {0} {1} to take care of."},
     {"{T} {M} returned the {0} {1} to {N}.",
      "{N} asked {M} for the {0} {1}, for it was not a present.",
      "{M} had forgotten that the {0} {1} belonged to {N}."}},
    {true,
     {story_words::kJob},
     {"{N} worked as {a} {0}.", "{N} was {a} {0}, and {s} was good at it.",
      "{N} had always wanted to be {a} {0}, and now {s} was one."},
     {"Everybody in the town knew {N} the {0}.", "{T} they needed {a} {0}, so they sent for {N}.",
      "{N} was proud to be {a} {0}."}},
    {true,
     {story_words::kPlace},
     {"{N} lived near {L}.", "{N} had rooms close to {L}.", "The house of {N} was beside {L}."},
     {"{T} {N} walked home to the house near {L}.",
      "They knocked for {N} at the house beside {L}."}},
    {true,
     {story_words::kFear},
     {"{N} was afraid of {0}.", "{N} could not bear {0}.",
      "Nothing in the world frightened {N} more than {0}."},
     {"{T} {N} dreamt of {0} and woke up with a cry.",
      "Somebody spoke of {0}, and {N} turned pale.",
      "{N} stayed inside, because there was talk of {0}."}},
    {true,
     {story_words::kFood},
     {"{N} loved {0} more than anything else.", "{N} ate {0} every day.",
      "Nobody could make {N} as happy as with {0}."},
     {"{N} asked for {0}, as {s} always did.", "For the birthday of {N} they served {0}.",
      "{T} {N} sat down at the table and ate {0}."}},
    {true,
     {story_words::kRelative, story_words::kTown},
     {"{N} had {a} {0} in {1}.", "The {0} of {N} had moved to {1}.",
      "{N} spoke often of {h} {0}, who lived in {1}."},
     {"{T} {N} took the train to {1} to visit {h} {0}.",
      "News came from {1}: the {0} of {N} was well.",
      "{N} saved money for {1}, where {h} {0} was waiting for {m}."}},
    {true,
     {story_words::kCoat, story_words::kAnimal, story_words::kPetName},
     {"{N} had {a} {0} {1} called {2}.", "{N} bought {a} {0} {1} and called it {2}.",
      "{N} had been given {a} {0} {1}, and its name was {2}."},
     {"{N} whistled, and {2}, the {0} {1}, came running.",
      "{T} {2} was ill, and {N} sat beside the {0} {1} all night.",
      "The {0} {1} of {N} was missing, and they called for {2} everywhere."}},
}};

inline constexpr std::array<Word, 16> kTimes = {"In the end",        "Years later",
                                                "One evening",       "The next morning",
                                                "At noon",           "Before the winter",
                                                "After a long time", "On the last day",
                                                "A month later",     "When the rain was over,",
                                                "That night",        "Late in the year",
                                                "On Sunday",         "In the spring",
                                                "Soon after",        "At midnight"};

inline constexpr std::array<Word, 10> kDurations = {
    "for three days", "all night",      "for a week",    "until the evening", "for two hours",
    "all summer",     "for many years", "the whole day", "until dawn",        "for a long while"};

inline constexpr std::array<Word, 10> kWeather = {"rain", "snow",     "wind", "fog",  "frost",
                                                  "hail", "sunshine", "heat", "mist", "cold"};

inline constexpr std::array<Word, 14> kCrowds = {
    "children", "neighbours", "musicians", "travellers",  "old men",  "boys",     "girls",
    "guests",   "farmers",    "merchants", "young women", "visitors", "servants", "students"};

inline constexpr std::array<Word, 12> kFeelings = {"happy",   "tired",  "sad",      "angry",
                                                   "hungry",  "silent", "cheerful", "curious",
                                                   "worried", "calm",   "bored",    "grateful"};

// Sentences about nothing that is asked for later.
inline constexpr std::array<Word, 44> kFillers = {
    "The {w} lasted {d}.",
    "There was {w} {d}, and the roads were empty of carts.",
    "{N} was {f}, and {M} was {f} too.",
    "{N} looked out of the window and said nothing.",
    "{N} talked with {M} {d}.",
    "{M} laughed, but {N} was {f}.",
    "The {c} sang and danced {d}.",
    "The {c} were {f}, for there was not much to do.",
    "{T} the {c} went home through the {w}.",
    "{N} could hear the {c} in the street.",
    "{N} closed {h} eyes and slept {d}.",
    "{N} waited {d}, but nobody came.",
    "{N} shook {h} head and thought about the {w}.",
    "{T} {N} and {M} walked along the river.",
    "{M} said that {N} looked {f}.",
    "{N} thanked {M}, who had helped {m} {d}.",
    "The wind blew over the hills {d}.",
    "Nobody knew why the {c} were so {f}.",
    "A cart went slowly along the road, and the {c} ran behind it.",
    "The river was high, and the {c} stayed at home {d}.",
    "The {c} told the story again and again.",
    "Smoke rose from every chimney, and the {w} came down from the hills.",
    "The shops were open, but there was hardly anybody in the street.",
    "It was warm, and the windows stood open {d}.",
    "The road was long, and the {c} were {f}.",
    "Some said that it was luck, others said that it was work.",
    "The moon was bright enough to read by.",
    "A ship came in, and its crew went ashore to look for company.",
    "There had been no news from the city {d}.",
    "The harvest was good that year, and the {c} were {f}.",
    "The newspaper was full of things that had happened far away.",
    "The {c} were arguing about the price of wood.",
    "The leaves turned pale, and the days grew short.",
    "The {c} played until the last of them had gone.",
    "At the end of the lane a boy was selling flowers.",
    "Every house had a light in the window.",
    "The train was late, as it always was.",
    "They talked about the {w}, because there was nothing else to talk about.",
    "It was said that the winter would be hard.",
    "The ferry crossed the water twice a day.",
    "The stars came out one by one.",
    "In those days people still walked to the next town.",
    "The well was deep, and its water was clear.",
    "There was dancing in the square until the {c} were {f}."};

}  // namespace datasets::story_sentences
