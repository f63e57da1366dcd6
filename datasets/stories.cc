#include "datasets/stories.h"

#include <algorithm>
#include <random>
#include <vector>

#include "datasets/output_file.h"
#include "datasets/story_words.h"

namespace datasets {
namespace {

using namespace story_words;
using Engine = std::mt19937_64;

template <typename Words>
Word Pick(Engine& engine, const Words& words) {
  return words[engine() % words.size()];
}

struct Character {
  Word name, job, home, adjective, object, hiding_place, fear, food;
};

Character MakeCharacter(Engine& engine, Word name) {
  return {name,
          Pick(engine, kJobs),
          Pick(engine, kPlaces),
          Pick(engine, kAdjectives),
          Pick(engine, kObjects),
          Pick(engine, kPlaces),
          Pick(engine, kFears),
          Pick(engine, kFoods)};
}

std::string Join(std::initializer_list<Word> parts) {
  std::string text;
  for (Word part : parts) text += part;
  return text;
}

Word Article(Word next) {
  return std::string_view("aeiou").find(next[0]) == Word::npos ? "a " : "an ";
}

std::string Capital(Word text) {
  std::string sentence(text);
  sentence[0] = sentence[0] >= 'a' ? sentence[0] - 'a' + 'A' : sentence[0];
  return sentence;
}

// What is told early.
std::vector<std::string> Facts(const Character& c) {
  return {Join({c.name, " was ", Article(c.job), c.job, " and lived in the ", c.home, "."}),
          Join({c.name, " owned ", Article(c.adjective), c.adjective, " ", c.object,
                " and kept it in the ", c.hiding_place, "."}),
          Join({c.name, " was afraid of ", c.fear, " and loved ", c.food, "."})};
}

// What can be known only from the facts.
std::string Recall(Engine& engine, const Character& c) {
  const Word time = Pick(engine, kTimes);
  switch (engine() % 8) {
    case 0:
      return Join({Capital(time), ", ", c.name, " went back to the ", c.home, "."});
    case 1:
      return Join({c.name, " the ", c.job, " still had the ", c.adjective, " ", c.object, "."});
    case 2:
      return Join({Capital(time), ", ", c.name, " went to the ", c.hiding_place,
                   " to look for the ", c.object, "."});
    case 3:
      return Join({"There were ", c.fear, " on the road, so ", c.name, " stayed at home."});
    case 4:
      return Join({Capital(time), ", ", c.name, " ate ", c.food, " again."});
    case 5:
      return Join({"Everybody knew the ", c.adjective, " ", c.object, " of ", c.name, "."});
    case 6:
      return Join({"The ", c.job, " who was afraid of ", c.fear, " was ", c.name, "."});
    default:
      return Join(
          {"Somebody had brought ", c.food, " to the ", c.home, ", and ", c.name, " was glad."});
  }
}

int64_t CountWords(const std::string& text) {
  return std::count(text.begin(), text.end(), ' ') + 1;
}

}  // namespace

std::string Story(uint64_t seed, int64_t i, int mean_words) {
  std::seed_seq sequence{seed, seed >> 32, static_cast<uint64_t>(i),
                         static_cast<uint64_t>(i) >> 32};
  Engine engine(sequence);
  const int64_t target = mean_words / 2 + engine() % (mean_words + 1);

  std::vector<Word> names(kNames.begin(), kNames.end());
  std::shuffle(names.begin(), names.end(), engine);
  std::vector<Character> characters;
  std::vector<std::string> facts;
  const int64_t count = std::clamp<int64_t>(target / 50, 1, 6);
  for (int64_t c = 0; c < count; ++c) {
    characters.push_back(MakeCharacter(engine, names[c]));
    for (std::string& fact : Facts(characters.back())) facts.push_back(std::move(fact));
  }

  std::string story;
  auto add = [&story](std::string_view sentence) {
    if (!story.empty()) story += ' ';
    story += sentence;
  };
  for (const std::string& fact : facts) add(fact);
  while (CountWords(story) < target) {
    if (engine() % 3 == 0) {
      add(Pick(engine, kFillers));
    } else {
      add(Recall(engine, characters[engine() % characters.size()]));
    }
  }
  return story;
}

void WriteStories(const StoriesConfig& config, const std::string& path) {
  OutputFile file(path);
  for (int64_t i = 0; i < config.count; ++i) {
    const std::string line = Story(config.seed, i, config.mean_words) + "\n";
    file.Append(line.data(), line.size());
  }
  file.Commit();
}

}  // namespace datasets
