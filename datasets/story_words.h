#pragma once

// The words of the built-in stories.

#include <array>
#include <string_view>

namespace datasets::story_words {

using Word = std::string_view;

inline constexpr std::array<Word, 48> kNames = {
    "Clara",  "Edmund",  "Agnes", "Walter",  "Beatrice", "Oscar",   "Harriet", "Felix",
    "Martha", "Hugo",    "Ida",   "Leopold", "Nora",     "Ralph",   "Sylvia",  "Victor",
    "Alice",  "Bernard", "Cora",  "Daniel",  "Esther",   "Frank",   "Greta",   "Henry",
    "Irene",  "Jacob",   "Kate",  "Louis",   "Mabel",    "Nathan",  "Olive",   "Percy",
    "Rose",   "Samuel",  "Thea",  "Ulrich",  "Viola",    "William", "Anton",   "Bridget",
    "Conrad", "Dora",    "Emil",  "Flora",   "Gilbert",  "Helen",   "Isaac",   "Judith"};

inline constexpr std::array<Word, 32> kJobs = {
    "baker",     "miller", "teacher", "sailor",   "tailor",    "doctor",   "gardener",  "painter",
    "hunter",    "smith",  "weaver",  "shepherd", "clerk",     "judge",    "potter",    "singer",
    "carpenter", "fisher", "soldier", "nurse",    "librarian", "mason",    "butcher",   "cook",
    "printer",   "pilot",  "widow",   "student",  "captain",   "ferryman", "locksmith", "poet"};

inline constexpr std::array<Word, 40> kPlaces = {
    "kitchen",  "cellar", "garden",     "harbour", "church",     "library", "forest",
    "market",   "tower",  "stable",     "orchard", "mill",       "castle",  "village",
    "valley",   "school", "cottage",    "bakery",  "chapel",     "attic",   "station",
    "theatre",  "meadow", "lighthouse", "bridge",  "monastery",  "quarry",  "palace",
    "inn",      "island", "barn",       "museum",  "hospital",   "prison",  "vineyard",
    "workshop", "cave",   "shipyard",   "bazaar",  "observatory"};

inline constexpr std::array<Word, 40> kObjects = {
    "lamp",   "letter", "ring",    "knife",  "book",       "key",    "clock",   "violin",
    "basket", "hammer", "mirror",  "map",    "coin",       "sword",  "blanket", "bottle",
    "candle", "hat",    "drum",    "rope",   "box",        "coat",   "spoon",   "compass",
    "flute",  "crown",  "picture", "saddle", "needle",     "kettle", "lantern", "telescope",
    "bell",   "shawl",  "ladder",  "wheel",  "dictionary", "anchor", "pearl",   "umbrella"};

inline constexpr std::array<Word, 32> kAdjectives = {
    "silver", "golden",  "wooden",  "broken",  "heavy",   "tiny",     "red",     "blue",
    "green",  "black",   "white",   "rusty",   "ancient", "precious", "narrow",  "round",
    "yellow", "painted", "empty",   "strange", "sharp",   "copper",   "crooked", "faded",
    "glass",  "iron",    "leather", "purple",  "stolen",  "borrowed", "famous",  "cheap"};

inline constexpr std::array<Word, 24> kFears = {
    "dogs", "spiders", "thunder", "ghosts", "horses", "snakes",  "wolves",  "strangers",
    "mice", "storms",  "bees",    "fire",   "owls",   "crowds",  "geese",   "shadows",
    "cats", "bulls",   "thieves", "rats",   "dreams", "doctors", "heights", "silence"};

inline constexpr std::array<Word, 24> kFoods = {
    "bread",  "cheese", "soup",     "apples",   "honey", "fish",     "cake",    "plums",
    "pears",  "nuts",   "porridge", "eggs",     "beans", "cherries", "butter",  "mushrooms",
    "onions", "rice",   "grapes",   "pancakes", "ham",   "pudding",  "carrots", "oysters"};

inline constexpr std::array<Word, 16> kTimes = {
    "in the morning", "in the evening",  "at noon",         "at midnight",
    "after the rain", "before sunrise",  "on Sunday",       "on Monday",
    "in the winter",  "in the spring",   "late that night", "the next day",
    "a week later",   "after the feast", "in the autumn",   "during the war"};

// Sentences about nothing that is asked for later.
inline constexpr std::array<Word, 40> kFillers = {
    "The wind blew over the hills and the rain fell for three days.",
    "Nobody knew why the bells were ringing.",
    "A cart went slowly along the road and the children ran behind it.",
    "The river was high and the bridge had been closed.",
    "There was not much to do, and the hours passed slowly.",
    "The old people told the story again and again.",
    "Snow lay on the roofs and smoke rose from every chimney.",
    "The shops were open, but there was hardly anybody in the street.",
    "It was warm, and the windows stood open all night.",
    "The road was long and the horses were tired.",
    "Some said that it was luck, others said that it was work.",
    "The moon was bright enough to read by.",
    "A ship came in and its crew went ashore to look for company.",
    "The dogs barked, and then everything was quiet again.",
    "There had been no news from the city for a month.",
    "The harvest was good that year and the barns were full.",
    "The newspaper was full of things that had happened far away.",
    "Two men were arguing about the price of wood.",
    "A stranger asked for the way and was given a chair by the fire.",
    "The leaves turned brown and the days grew short.",
    "The musicians played until the last guest had gone home.",
    "At the end of the lane a boy was selling flowers.",
    "Every house had a light in the window.",
    "The train was late, as it always was.",
    "The frost had killed the roses, but the grass was green.",
    "They talked about the weather because there was nothing else to talk about.",
    "The doors were locked and the keys hung on the wall.",
    "It was said that the winter would be hard.",
    "The ferry crossed the water twice a day.",
    "An owl called from the wood and another one answered.",
    "The girls laughed and the boys pretended not to listen.",
    "A letter arrived without a name on it.",
    "The stars came out one by one.",
    "In those days people still walked to the next town.",
    "The well was deep and its water was cold.",
    "There was dancing in the square until the lamps went out.",
    "The clouds were low and the birds flew close to the ground.",
    "The judge was asleep and the clerk was reading a novel.",
    "Somebody had left a ladder against the wall.",
    "The fire had burned down and the room was dark."};

}  // namespace datasets::story_words
