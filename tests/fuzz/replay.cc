// What runs a fuzz target without libFuzzer: every file of its corpus (argv[1]), then 10^4 inputs
// made from them, the same ones every time.  An input that ends the program is written to
// fuzz_failure in the working directory.

#include <fcntl.h>
#include <signal.h>
#include <unistd.h>

#include <algorithm>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <random>
#include <string>
#include <vector>

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size);

namespace {

constexpr int kMutations = 10'000;
constexpr size_t kMostBytes = 4096;  // of a mutation; a file of the corpus may be longer

std::string current;

void WriteCurrent(int signal_number) {
  const int file = open("fuzz_failure", O_WRONLY | O_CREAT | O_TRUNC, 0644);
  if (file >= 0 && write(file, current.data(), current.size()) >= 0) close(file);
  signal(signal_number, SIG_DFL);
  raise(signal_number);
}

void Run(const std::string& input) {
  current = input;
  LLVMFuzzerTestOneInput(reinterpret_cast<const uint8_t*>(current.data()), current.size());
}

class Mutator {
 public:
  explicit Mutator(const std::vector<std::string>& corpus) : corpus_(corpus) {}

  std::string Next() {
    std::string input = Pick();
    for (size_t changes = 1 + Below(4); changes > 0; --changes) Change(&input);
    if (input.size() > kMostBytes) input.resize(kMostBytes);
    return input;
  }

 private:
  size_t Below(size_t end) { return end == 0 ? 0 : random_() % end; }
  std::string Pick() {
    const std::string& file = corpus_[Below(corpus_.size())];
    return file.size() <= kMostBytes ? file : file.substr(0, kMostBytes);
  }
  void Change(std::string* input) {
    const size_t at = Below(input->size() + 1), rest = input->size() - at;
    const size_t length = std::min(rest, 1 + Below(16));
    const std::string other = Pick();
    switch (Below(7)) {
      case 0:
        if (rest > 0) (*input)[at] ^= static_cast<char>(1 << Below(8));
        return;
      case 1:
        if (rest > 0) (*input)[at] = static_cast<char>(Below(256));
        return;
      case 2:
        input->erase(at, length);
        return;
      case 3:
        input->insert(at, input->substr(at, length));
        return;
      case 4:
        input->insert(at, other, Below(other.size()), 1 + Below(32));
        return;
      case 5:  // the begin of one, the end of another
        input->replace(at, rest, other, std::min(at, other.size()));
        return;
      default:
        WriteNumber(input, at);
    }
  }
  void WriteNumber(std::string* input, size_t at) {
    constexpr int64_t kNumbers[] = {0,         1,         -1,        INT32_MAX, INT32_MIN,
                                    INT64_MAX, INT64_MIN, 1LL << 32, 1LL << 62, 255};
    const int64_t number = kNumbers[Below(std::size(kNumbers))];
    if (Below(2) == 0) {
      input->insert(at, std::to_string(number));
    } else {
      const size_t bytes = std::min(input->size() - at, size_t{4} << Below(2));
      memcpy(input->data() + at, &number, bytes);
    }
  }

  const std::vector<std::string>& corpus_;
  std::mt19937_64 random_{1};
};

}  // namespace

int main(int argc, char** argv) {
  if (argc != 2) return fprintf(stderr, "usage: %s CORPUS\n", argv[0]), 2;
  std::vector<std::filesystem::path> paths;
  for (const auto& entry : std::filesystem::directory_iterator(argv[1])) paths.push_back(entry);
  std::sort(paths.begin(), paths.end());
  std::vector<std::string> corpus;
  for (const std::filesystem::path& path : paths) {
    std::ifstream file(path, std::ios::binary);
    corpus.emplace_back(std::istreambuf_iterator<char>(file), std::istreambuf_iterator<char>());
  }
  if (corpus.empty()) return fprintf(stderr, "%s is empty\n", argv[1]), 2;
  for (const int fatal : {SIGABRT, SIGSEGV, SIGBUS, SIGFPE}) signal(fatal, WriteCurrent);
  for (const std::string& input : corpus) Run(input);
  Mutator mutator(corpus);
  for (int i = 0; i < kMutations; ++i) Run(mutator.Next());
  printf("%zu files and %d mutations: taken or refused\n", corpus.size(), kMutations);
  return 0;
}
