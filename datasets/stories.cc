#include "datasets/stories.h"

#include <glog/logging.h>

#include <algorithm>
#include <array>
#include <deque>
#include <set>
#include <utility>
#include <vector>

#include "datasets/output_file.h"
#include "datasets/random.h"
#include "datasets/story_sentences.h"
#include "datasets/story_words.h"

namespace datasets {
namespace {

using namespace story_words;
using namespace story_sentences;

constexpr int64_t kMeanSentenceWords = 10;
constexpr int64_t kMaxOpenFacts = 12;  // no list of words is shorter

class Random {
 public:
  Random(uint64_t seed, int64_t story) : seed_(seed), story_(story) {}

  int64_t Below(int64_t n) {  // n < 2^31
    if (next_ % 4 == 0) block_ = RandomNumbers(seed_, RandomStream::kStories, story_, next_ / 4, 0);
    return static_cast<int64_t>(uint64_t{block_[next_++ % 4]} * n >> 32);
  }
  template <typename Words>
  Word Pick(const Words& words) {
    return words[Below(words.size())];
  }

 private:
  const uint64_t seed_;
  const int64_t story_;
  uint64_t next_ = 0;
  std::array<uint32_t, 4> block_ = {};
};

// Words in random order; a word drawn is not drawn again until it is given back, and then last.
class Deck {
 public:
  Deck(std::span<const Word> words, Random* random) : words_(words.begin(), words.end()) {
    for (size_t i = words_.size(); i > 1; --i) std::swap(words_[i - 1], words_[random->Below(i)]);
  }
  Word Draw() {
    CHECK(!words_.empty());
    const Word word = words_.front();
    words_.pop_front();
    return word;
  }
  void GiveBack(Word word) { words_.push_back(word); }

 private:
  std::deque<Word> words_;
};

struct Person {
  Word name;
  bool woman;
};

struct Fact {
  const FactForm* form;
  int64_t person, other;    // of the cast
  std::vector<Word> words;  // of the kinds form->words
  int64_t told_at;          // words of the story up to its end
};

class Teller {
 public:
  Teller(uint64_t seed, int64_t story, int mean_words);
  std::string Tell();

 private:
  void MakeCast();
  void TellFact();
  void Ask(size_t open_fact);
  void AddSentence(Word form, const Fact& fact);
  std::string Fill(char key, const Fact& fact);
  std::pair<int64_t, int64_t> TwoPersons();

  Random random_;
  const int64_t target_, distance_;  // words
  std::vector<Deck> decks_;          // by Kind
  std::vector<Person> cast_;
  std::set<std::pair<const FactForm*, int64_t>> told_once_;
  std::vector<Fact> open_;  // told, not yet asked for
  std::string text_;
  int64_t words_ = 0;  // of text_
};

Teller::Teller(uint64_t seed, int64_t story, int mean_words)
    : random_(seed, story),
      target_(mean_words / 2 + random_.Below(mean_words + 1)),
      distance_(RecallDistance(target_)) {
  for (const std::span<const Word> list : kLists) decks_.emplace_back(list, &random_);
  MakeCast();
}

void Teller::MakeCast() {
  Deck women(kWomen, &random_), men(kMen, &random_);
  const int64_t persons = std::clamp<int64_t>(target_ / 40, 2, 8);
  for (int64_t i = 0; i < persons; ++i) {
    const bool woman = random_.Below(2) == 0;
    cast_.push_back({(woman ? women : men).Draw(), woman});
  }
}

// A fact is told only while there is room to ask for it, and for all that are open.
std::string Teller::Tell() {
  while (words_ < target_) {
    const int64_t left = target_ - words_;
    const int64_t open = open_.size();
    const bool may_tell = open < kMaxOpenFacts && left > distance_ + 2 * kMeanSentenceWords &&
                          left > (open + 2) * kMeanSentenceWords;
    std::vector<size_t> ripe;
    for (size_t i = 0; i < open_.size(); ++i) {
      if (words_ - open_[i].told_at >= distance_) ripe.push_back(i);
    }
    const int64_t die = random_.Below(6);
    const bool must_ask = left <= (open + 1) * kMeanSentenceWords;
    if (!ripe.empty() && (must_ask || die < 3)) {
      Ask(ripe[random_.Below(ripe.size())]);
    } else if (may_tell && (words_ == 0 || die < (ripe.empty() ? 4 : 5))) {
      TellFact();
    } else {
      const auto [person, other] = TwoPersons();
      AddSentence(random_.Pick(kFillers), {nullptr, person, other, {}, 0});
    }
  }
  return std::move(text_);
}

std::pair<int64_t, int64_t> Teller::TwoPersons() {
  const int64_t person = random_.Below(cast_.size());
  return {person, (person + 1 + random_.Below(cast_.size() - 1)) % cast_.size()};
}

void Teller::TellFact() {
  const auto [person, other] = TwoPersons();
  const FactForm* form = &kFactForms[random_.Below(kFactForms.size())];
  if (form->once && !told_once_.emplace(form, person).second) form = &kFactForms[random_.Below(2)];
  Fact fact{form, person, other, {}, 0};
  for (const Kind kind : form->words) fact.words.push_back(decks_[kind].Draw());
  AddSentence(random_.Pick(form->tell), fact);
  fact.told_at = words_;
  open_.push_back(std::move(fact));
}

void Teller::Ask(size_t open_fact) {
  const Fact fact = std::move(open_[open_fact]);
  open_.erase(open_.begin() + open_fact);
  AddSentence(random_.Pick(fact.form->ask), fact);
  for (size_t i = 0; i < fact.words.size(); ++i) {
    decks_[fact.form->words[i]].GiveBack(fact.words[i]);
  }
}

void Teller::AddSentence(Word form, const Fact& fact) {
  if (!text_.empty()) text_ += ' ';
  const size_t begin = text_.size();
  size_t article = std::string::npos;  // an "a" that waits for the word behind it
  for (size_t i = 0; i < form.size(); ++i) {
    const std::string part = form[i] == '{' ? Fill(form[i + 1], fact) : std::string(1, form[i]);
    if (article != std::string::npos && part != " ") {
      if (std::string_view("aeiou").find(part[0]) != Word::npos) text_.insert(article + 1, "n");
      article = std::string::npos;
    }
    if (form[i] == '{') {
      if (form[i + 1] == 'a') article = text_.size();
      i += 2;
    }
    text_ += part;
  }
  words_ += std::count(text_.begin() + begin, text_.end(), ' ') + 1;
}

std::string Teller::Fill(char key, const Fact& fact) {
  const Person& person = cast_[fact.person];
  switch (key) {
    case 'N':
      return std::string(person.name);
    case 'M':
      return std::string(cast_[fact.other].name);
    case 's':
      return person.woman ? "she" : "he";
    case 'h':
      return person.woman ? "her" : "his";
    case 'm':
      return person.woman ? "her" : "him";
    case 'P':
      return std::string(fact.words.back());
    case 'L':
      return std::string(fact.words.back().substr(fact.words.back().find(' ') + 1));
    case 'a':
      return "a";
    case 'T':
      return std::string(random_.Pick(kTimes));
    case 'd':
      return std::string(random_.Pick(kDurations));
    case 'w':
      return std::string(random_.Pick(kWeather));
    case 'c':
      return std::string(random_.Pick(kCrowds));
    case 'f':
      return std::string(random_.Pick(kFeelings));
    default:
      CHECK('0' <= key && key <= '9') << key;
      return std::string(fact.words.at(key - '0'));
  }
}

}  // namespace

int64_t RecallDistance(int64_t words) { return std::clamp<int64_t>(words / 3, 5, 400); }

std::string Story(uint64_t seed, int64_t i, int mean_words) {
  return Teller(seed, i, mean_words).Tell();
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
