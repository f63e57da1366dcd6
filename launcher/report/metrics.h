#pragma once

// Metrics of a run: lines of metrics.jsonl, and the same numbers as TensorBoard events.
//
// A record is a JSON object with "step" (updates done) and nested numbers; a number's path is its
// TensorBoard tag: {"step": 10, "train": {"loss": 2.5}} is the scalar train/loss at step 10.
// Numbers that are not finite become null.

#include <cstdint>
#include <fstream>
#include <functional>
#include <istream>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "launcher/report/tensorboard.h"

namespace treeformer {

// Gives `keep` each whole record of `lines` up to `last_step`, as its line; returns how many lines
// are damaged, not counting a last one that a kill has cut.
int64_t KeepRecords(std::istream& lines, int64_t last_step,
                    const std::function<void(const std::string&)>& keep);

class MetricsWriter {
 public:
  // Continues the files of `directory` after `last_step`: what a stopped run wrote beyond its
  // checkpoint is dropped, and so is a damaged record, alone and with a warning.  Throws UserError
  // when they cannot be written; the files are then as before.
  MetricsWriter(const std::string& directory, int64_t last_step);

  void AddHistogram(const std::string& tag,
                    const std::vector<double>& values);  // to the next Write
  void Write(const nlohmann::ordered_json& record);

 private:
  std::string path_;
  std::ofstream file_;
  EventWriter events_;
};

}  // namespace treeformer
