#pragma once

// The data of a run.  Text or built-in stories become a vocabulary and token files under RUN/data,
// once: they are used again as long as input files and settings are the same.
//
//   RUN/data/vocab.txt  training.tokens  held_out.tokens  stories.txt
//   RUN/data/source.txt   what they were made from; written last

#include <memory>
#include <string>

#include "datasets/token_loader.h"
#include "dist/communicator.h"
#include "launcher/progress.h"
#include "launcher/run_config.h"

struct DataFiles {
  std::string vocabulary, training, held_out;
};

// Rank 0 makes what is missing, the others wait.  Where they are out of date and not `may_rebuild`
// (the run has checkpoints), UserError.  Collective.
DataFiles PrepareRunData(dist::Communicator& communicator, const treeformer::DatasetConfig& config,
                         const std::string& run_directory, bool may_rebuild, Progress& progress);

// Where they are, or would be.
DataFiles RunDataFiles(const treeformer::DatasetConfig& config, const std::string& run_directory);

// `text` -> a token file, on rank 0; the others wait.  Collective.
void PrepareEvaluationText(dist::Communicator& communicator,
                           const treeformer::DatasetConfig& config, const std::string& text,
                           const std::string& vocabulary, const std::string& output,
                           Progress& progress);

// A list separated by commas.
void SetText(const std::string& text, treeformer::DatasetConfig& config);
