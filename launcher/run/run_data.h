#pragma once

// The data of a run.  Text or built-in stories become a vocabulary and token files under RUN/data,
// once: they are used again as long as input files and settings are the same.
//
//   RUN/data/vocab.txt    made of the text, or a copy of data.vocabulary
//   RUN/data/training.tokens  held_out.tokens  stories.txt
//   RUN/data/source.txt   what they were made from; written last
//
// A run that goes on needs its files alone: a text that has changed since, or is gone, is only
// said.  Files that are damaged or gone are made again, and must be what they were.

#include <memory>
#include <nlohmann/json.hpp>
#include <string>

#include "datasets/dataset_config.h"
#include "dist/communicator.h"
#include "launcher/report/progress.h"
#include "launcher/run/run_config.h"
#include "launcher/run/run_text.h"

namespace treeformer {

struct DataFiles {
  std::string vocabulary, training, held_out;
};

// Rank 0, which has the list `text`, makes what is missing; the others wait.  `state`: of the
// checkpoint from which the run goes on, or null; UserError where the files are not those it began
// with.  Collective.
DataFiles PrepareRunData(dist::Communicator& communicator, const config::DatasetConfig& config,
                         const RunText& text, const std::string& run_directory,
                         const nlohmann::json& state, Progress& progress);

// The hash of their contents; token files hold theirs in their headers.
uint64_t HashData(const DataFiles& files);

// Where they are, or would be.
DataFiles RunDataFiles(const config::DatasetConfig& config, const std::string& run_directory);

// `text` -> the token file `output`, on the first rank of each machine; the others wait.
// Collective.
void PrepareEvaluationText(dist::Communicator& communicator, const config::DatasetConfig& config,
                           const std::string& text, const std::string& vocabulary,
                           const std::string& output, Progress& progress);

// Inputs separated by commas or line ends; a name with a comma in it is taken whole where there is
// such a file or folder.
void SetText(const std::string& text, config::DatasetConfig& config);

}  // namespace treeformer
