// Lines of metrics.jsonl that a run goes on from.  No file: the reader is given a stream.

#include "launcher/report/metrics.h"

#include <sstream>

#include "tests/fuzz/fuzz.h"

namespace treeformer {

namespace {

constexpr int64_t kLastStep = 5;

}  // namespace

void FuzzOne(std::string_view input) {
  std::istringstream lines{std::string(input)};
  std::string kept;
  KeepRecords(lines, kLastStep, [&](const std::string& line) { kept += line + "\n"; });

  std::istringstream again{kept};
  std::string kept_again;
  const int64_t damaged =
      KeepRecords(again, kLastStep, [&](const std::string& line) { kept_again += line + "\n"; });
  Promise(damaged == 0, "what is kept is whole");
  Promise(kept_again == kept, "what is kept is kept again");
}

}  // namespace treeformer
