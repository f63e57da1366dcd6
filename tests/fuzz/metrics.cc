// metrics.jsonl of a run that goes on.

#include "launcher/metrics.h"

#include <filesystem>

#include "tests/fuzz/fuzz.h"

void FuzzOne(std::string_view input) {
  const std::string run = FuzzPath("run");
  std::filesystem::remove_all(run);
  PutFile(run + "/metrics.jsonl", input);
  MetricsWriter writer(run, /*last_step=*/5);
  writer.Write({{"step", 6}, {"train", {{"loss", 1.5}}}});
}
