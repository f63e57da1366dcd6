#pragma once

// A run that takes about a second: three stages of a tiny model on built-in stories, with dropout
// and random flips, so that everything that must be restored is in use.

#include <omp.h>

#include <nlohmann/json.hpp>
#include <sstream>
#include <string>
#include <vector>

#include "dist/local_communicator.h"
#include "launcher/run/run_directory.h"
#include "launcher/run/run_plan.h"
#include "launcher/training/train_run.h"
#include "tests/datasets/temporary_folder.h"

namespace treeformer {

// Steps 0-6 full attention, 6-12 height 1, 12-18 height 2.
inline const char kSmallRun[] = R"(
  data { stories { count: 120 mean_words: 60 } vocabulary_size: 300 sequence_length: 32
         held_out_fraction: 0.1 }
  model { layers: 2 width: 16 heads: 2 }
  bootstrap { full_steps: 6 tree_steps: 12 layer_width: 2
              attention { kind: TF height: 2 flip_choice: RANDOM } }
  optimizer { learning_rate: 1e-2 warmup_steps: 3 }
  training { batch_size: 8 log_every: 3 evaluate_sequences: 16 evaluate_every: 5
             checkpoint_every: 4 keep_checkpoints: 9 histogram_every: 6 })";

inline config::RunConfig SmallRun(const std::string& overrides = "") {
  config::RunConfig config = ParseRunConfig(kSmallRun, "small run");
  ApplyOverrides(overrides, config);
  return config;
}

inline RunPart PartOf(const config::RunConfig& config, const std::string& stages = "") {
  return {.resume = true,
          .stages = ParseStages(stages, MakeBootstrapPlan(config, /*vocabulary=*/1000)),
          .text = ListRunText(config.data())};
}

// The exit status of rank 0.
inline int Train(const config::RunConfig& config, const std::string& directory, int ranks = 1,
                 const DeviceChoice& device = {}, const std::string& stages = "") {
  ValidateRun(config, ranks, device.device, directory);
  const RunPart part = PartOf(config, stages);
  RequireRunApartFromText(directory, config.data(), part.text);
  int status = -1;
  dist::RunLocalRanks(ranks, [&](dist::Communicator& communicator) {
    omp_set_num_threads(1);
    Progress progress(/*speaks=*/false);
    const int mine = RunTraining(communicator, config, directory, part, device, progress);
    if (communicator.rank() == 0) status = mine;
  });
  return status;
}

// The records of metrics.jsonl without what depends on the clock.
inline std::vector<nlohmann::json> ParseMetrics(const std::string& text) {
  std::vector<nlohmann::json> records;
  std::istringstream lines(text);
  for (std::string line; std::getline(lines, line);) {
    nlohmann::json record = nlohmann::json::parse(line, nullptr, /*allow_exceptions=*/false);
    if (record.is_discarded()) break;  // being written
    record.erase("speed");
    records.push_back(std::move(record));
  }
  return records;
}

inline std::vector<nlohmann::json> MetricsOf(const TemporaryFolder& folder) {
  return ParseMetrics(folder.Read("metrics.jsonl"));
}

// A copy of the run as a kill would leave it: checkpoints up to `step`, metrics beyond it.
inline void CopyRun(const TemporaryFolder& from, const TemporaryFolder& to, int64_t step) {
  std::filesystem::copy(from.path(), to.path(), std::filesystem::copy_options::recursive);
  for (const auto& entry : std::filesystem::directory_iterator(to.File("checkpoints"))) {
    if (std::stoll(entry.path().filename().string().substr(5)) > step)
      std::filesystem::remove_all(entry);
  }
}

}  // namespace treeformer
