#pragma once

// The text of a run, as the program found it when it began.

#include <string>
#include <vector>

#include "datasets/input_files.h"
#include "launcher/run/run_config.h"

namespace treeformer {

struct RunText {
  std::vector<datasets::InputFile> files;
  std::string error;  // why they could not be listed, or empty
};

// Lists data.text, once for all that need the list.  Never throws: a run that goes on may have lost
// its text.
RunText ListRunText(const config::DatasetConfig& config);

// UserError where the run would lie in a folder of its text: its files would become text.
void RequireRunApartFromText(const std::string& run_directory, const config::DatasetConfig& config,
                             const RunText& text);

// Everything the token files depend on, a line each: settings, and each input file with its size
// and the time of its last change, UTC.  UserError where the text could not be listed or holds a
// pipe.
std::string DescribeSource(const config::DatasetConfig& config, const RunText& text);

// Whether `source` is what DescribeSource says, now or in versions that wrote times as counts.
bool IsSource(const std::string& source, const config::DatasetConfig& config, const RunText& text);

}  // namespace treeformer
