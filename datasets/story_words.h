#pragma once

// The words that the built-in stories tell early and ask for late.  No word is in two lists, and
// none is in a sentence of datasets/story_sentences.h.

#include <array>
#include <span>
#include <string_view>

namespace datasets::story_words {

using Word = std::string_view;

inline constexpr std::array<Word, 24> kWomen = {
    "Clara", "Agnes", "Beatrice", "Harriet", "Martha", "Ida",  "Nora",  "Sylvia",
    "Alice", "Cora",  "Esther",   "Greta",   "Irene",  "Kate", "Mabel", "Olive",
    "Paula", "Thea",  "Viola",    "Bridget", "Dora",   "Emma", "Helen", "Judith"};

inline constexpr std::array<Word, 24> kMen = {
    "Edmund", "Walter", "Oscar",   "Felix",  "Hugo",  "Leopold", "Ralph",   "Victor",
    "Daniel", "Frank",  "Bernard", "Jacob",  "Louis", "Nathan",  "Percy",   "Samuel",
    "Ulrich", "Henry",  "William", "Conrad", "Emil",  "Anton",   "Gilbert", "Isaac"};

inline constexpr std::array<Word, 32> kJobs = {
    "baker",   "miller",   "teacher",   "sailor",  "tailor",   "doctor",    "gardener",
    "painter", "hunter",   "smith",     "weaver",  "shepherd", "clerk",     "judge",
    "potter",  "singer",   "carpenter", "fisher",  "soldier",  "nurse",     "librarian",
    "mason",   "butcher",  "cook",      "printer", "pilot",    "innkeeper", "apothecary",
    "captain", "ferryman", "locksmith", "engineer"};

inline constexpr std::array<Word, 40> kPlaces = {
    "in the kitchen",    "in the cellar",    "in the garden",     "in the harbour",
    "in the church",     "in the library",   "in the forest",     "in the market",
    "in the tower",      "in the stable",    "in the orchard",    "behind the mill",
    "in the castle",     "under the stairs", "behind the school", "in the cottage",
    "in the bakery",     "in the chapel",    "in the attic",      "in the station",
    "in the theatre",    "in the meadow",    "in the lighthouse", "under the bridge",
    "in the monastery",  "in the quarry",    "in the palace",     "on the island",
    "behind the barn",   "in the museum",    "in the hospital",   "on the balcony",
    "in the vineyard",   "in the workshop",  "in the cave",       "in the shipyard",
    "in the greenhouse", "on the terrace",   "near the fountain", "in the observatory"};

inline constexpr std::array<Word, 40> kObjects = {
    "lamp",   "letter", "ring",    "knife",  "book",       "key",    "clock",   "violin",
    "basket", "hammer", "mirror",  "map",    "coin",       "sword",  "blanket", "bottle",
    "candle", "hat",    "drum",    "rope",   "box",        "coat",   "spoon",   "compass",
    "flute",  "crown",  "picture", "saddle", "needle",     "kettle", "lantern", "telescope",
    "bell",   "shawl",  "ladder",  "wheel",  "dictionary", "anchor", "pearl",   "umbrella"};

inline constexpr std::array<Word, 32> kAdjectives = {
    "silver",  "golden",  "wooden",  "broken",  "heavy",   "tiny",     "red",      "blue",
    "green",   "painted", "rusty",   "striped", "ancient", "precious", "narrow",   "round",
    "yellow",  "strange", "sharp",   "copper",  "crooked", "faded",    "enormous", "iron",
    "leather", "purple",  "useless", "ugly",    "famous",  "cheap",    "elegant",  "dusty"};

inline constexpr std::array<Word, 24> kFears = {
    "dogs",      "spiders", "thunder", "ghosts",  "bulls", "snakes", "wolves",  "strangers",
    "mice",      "storms",  "bees",    "fire",    "bats",  "crowds", "geese",   "shadows",
    "lightning", "thieves", "rats",    "witches", "bears", "giants", "heights", "ravens"};

inline constexpr std::array<Word, 24> kFoods = {
    "bread",  "cheese", "soup",     "apples",   "honey", "fish",     "cake",    "plums",
    "pears",  "nuts",   "porridge", "eggs",     "beans", "cherries", "butter",  "mushrooms",
    "onions", "rice",   "grapes",   "pancakes", "ham",   "pudding",  "carrots", "oysters"};

inline constexpr std::array<Word, 24> kTowns = {
    "Vienna", "Paris",   "London", "Venice", "Lisbon",  "Prague", "Dublin", "Geneva",
    "Berlin", "Warsaw",  "Madrid", "Athens", "Boston",  "Oslo",   "Rome",   "Bergen",
    "Cairo",  "Hamburg", "Naples", "Zurich", "Antwerp", "Riga",   "Oxford", "Ghent"};

inline constexpr std::array<Word, 12> kRelatives = {
    "sister", "brother", "uncle",  "aunt",   "cousin",      "grandmother",
    "niece",  "nephew",  "mother", "father", "grandfather", "daughter"};

inline constexpr std::array<Word, 16> kAnimals = {
    "horse", "cat", "goat", "parrot", "donkey", "sheep",   "rabbit", "pony",
    "goose", "cow", "hen",  "owl",    "calf",   "terrier", "pig",    "tortoise"};

inline constexpr std::array<Word, 12> kCoats = {"black",   "white", "grey", "brown",
                                                "spotted", "tame",  "lame", "lazy",
                                                "clever",  "fat",   "shy",  "noisy"};

inline constexpr std::array<Word, 16> kPetNames = {
    "Comet",  "Pepper", "Ginger",  "Domino",  "Major",  "Duchess", "Biscuit", "Pirate",
    "Marble", "Prince", "Bramble", "Thistle", "Button", "Rascal",  "Juniper", "Pebble"};

// What kLists is indexed by.
enum Kind {
  kJob,
  kPlace,
  kObject,
  kAdjective,
  kFear,
  kFood,
  kTown,
  kRelative,
  kAnimal,
  kCoat,
  kPetName,
  kKinds
};

inline constexpr std::array<std::span<const Word>, kKinds> kLists = {
    kJobs,  kPlaces,    kObjects, kAdjectives, kFears,   kFoods,
    kTowns, kRelatives, kAnimals, kCoats,      kPetNames};

}  // namespace datasets::story_words
