#include "datasets/stories.h"

#include <glog/logging.h>

#include <algorithm>
#include <array>
#include <cmath>
#include <span>

#include "datasets/random.h"
#include "datasets/story_sentences.h"
#include "datasets/story_words.h"
#include "kernels/base/output_file.h"

namespace treeformer::datasets {
namespace {

using namespace story_words;
using namespace story_sentences;

constexpr int64_t kLongStory = 512;  // words

class Random {
 public:
  Random(uint64_t seed, int64_t story) : seed_(seed), story_(story) {}

  int64_t Below(int64_t n) {  // n < 2^31
    if (next_ % 4 == 0) block_ = RandomNumbers(seed_, RandomStream::kStories, story_, next_ / 4, 0);
    return static_cast<int64_t>(uint64_t{block_[next_++ % 4]} * n >> 32);
  }
  template <typename T>
  void Shuffle(std::span<T> items) {
    for (size_t i = items.size(); i > 1; --i) std::swap(items[i - 1], items[Below(i)]);
  }

 private:
  const uint64_t seed_;
  const int64_t story_;
  uint64_t next_ = 0;
  std::array<uint32_t, 4> block_ = {};
};

struct Animal {
  Word manner, name;
};

int64_t LargeCast(int64_t mean_words) { return mean_words < kLongStory ? 4 : 8; }

class Teller {
 public:
  Teller(uint64_t seed, int64_t story, int mean_words);

  std::string Tell();
  StoryEntropy entropy() const { return {nats_, words_ + sentences_}; }

 private:
  void TellRound(bool may_end);
  void AddSentence(Word form, std::span<const Animal> pair);
  Word Fill(char key, std::span<const Animal> pair);
  Word Draw(std::span<const Word> words);

  Random random_;
  const int64_t target_;  // words
  std::vector<Animal> cast_;
  std::string text_;
  double nats_ = 0;
  int64_t words_ = 0, sentences_ = 0;
};

Teller::Teller(uint64_t seed, int64_t story, int mean_words)
    : random_(seed, story),
      target_(mean_words - mean_words * 15 / 100 + random_.Below(mean_words * 30 / 100 + 1)) {
  auto manners = kManners, animals = kAnimals;
  random_.Shuffle<Word>(manners);
  random_.Shuffle<Word>(animals);
  const int64_t cast = LargeCast(mean_words) / (1 + random_.Below(2));
  for (int64_t i = 0; i < cast; ++i) cast_.push_back({manners[i], animals[i]});
}

std::string Teller::Tell() {
  TellRound(/*may_end=*/false);
  TellRound(/*may_end=*/false);
  while (words_ < target_) TellRound(/*may_end=*/true);
  return std::move(text_);
}

void Teller::TellRound(bool may_end) {
  const std::span<Animal> cast(cast_);
  random_.Shuffle<Animal>(cast.first(cast.size() / 2));
  random_.Shuffle<Animal>(cast.subspan(cast.size() / 2));
  for (size_t i = 0; i < cast.size(); i += 2) {
    if (may_end && words_ >= target_) return;
    AddSentence(kMeeting, cast.subspan(i, 2));
    if (random_.Below(8) == 0) AddSentence(kFiller, {});
  }
}

void Teller::AddSentence(Word form, std::span<const Animal> pair) {
  if (!text_.empty()) text_ += ' ';
  const size_t begin = text_.size();
  for (size_t i = 0; i < form.size(); ++i) {
    if (form[i] == '{') {
      text_ += Fill(form[i + 1], pair);
      i += 2;
    } else {
      text_ += form[i];
    }
  }
  words_ += std::count(text_.begin() + begin, text_.end(), ' ') + 1;
  text_ += '.';
  ++sentences_;
}

Word Teller::Fill(char key, std::span<const Animal> pair) {
  switch (key) {
    case '0':
      return pair[0].manner;
    case '1':
      return pair[0].name;
    case '2':
      return pair[1].manner;
    case '3':
      return pair[1].name;
    case 'T':
      return Draw(kTimes);
    case 'm':
      return Draw(kMeetings);
    case 'c':
      return Draw(kCrowds);
    case 'd':
      return Draw(kDoings);
    default:
      CHECK_EQ(key, 'w');
      return Draw(kWeather);
  }
}

Word Teller::Draw(std::span<const Word> words) {
  nats_ += std::log(static_cast<double>(words.size()));
  return words[random_.Below(words.size())];
}

}  // namespace

std::string Story(uint64_t seed, int64_t i, int mean_words) {
  return Teller(seed, i, mean_words).Tell();
}

StoryEntropy EntropyOfStory(uint64_t seed, int64_t i, int mean_words) {
  Teller teller(seed, i, mean_words);
  teller.Tell();
  return teller.entropy();
}

double StoriesEntropy(const StoriesConfig& config) {
  StoryEntropy sum;
  for (int64_t i = 0; i < std::min<int64_t>(config.count, 1000); ++i) {
    const StoryEntropy story = EntropyOfStory(config.seed, i, config.mean_words);
    sum.nats += story.nats;
    sum.tokens += story.tokens;
  }
  return sum.nats / static_cast<double>(sum.tokens);
}

std::vector<std::string> StoryWords() {
  std::vector<std::string> words{"the", "in", "."};
  for (const std::span<const Word> list : kLists)
    words.insert(words.end(), list.begin(), list.end());
  return words;
}

void WriteStories(const StoriesConfig& config, const std::string& path) {
  OutputFile file(path);
  for (int64_t i = 0; i < config.count; ++i) {
    const std::string line = Story(config.seed, i, config.mean_words) + "\n";
    file.Append(line.data(), line.size());
  }
  file.Commit();
}

}  // namespace treeformer::datasets
