#pragma once

// What several commands make of the flags.

#include <string>

#include "datasets/text_source.h"
#include "dist/communicator.h"
#include "kernels/runtime/context.h"
#include "launcher/run/run_config.h"

namespace treeformer {

// --config with --set and --text applied.
config::RunConfig ResolveRunConfig();

// --run_dir, or runs/NAME after the experiment.
std::string RunDirectoryFromFlag();

// --threads; returns the number of threads of this rank.  Collective.
int ConfigureThreadsFromFlag(dist::Communicator& communicator);

// --device, --cuda_graphs.
DeviceChoice DeviceChoiceFromFlags();
// --device.  Throws UserError for anything but cpu and cuda.
Device DeviceFromFlag();

// --dtype.  Throws UserError for anything but float32 and bfloat16.
MatmulPrecision MatmulPrecisionFromFlag();

// --text, --document, --json_field, --replace_invalid_utf8, --skip_bad_documents,
// --zstd_window_log.
datasets::TextSourceOptions TextSourceFromFlags();

// Throws UserError when the flag is empty.
void RequireFlag(const std::string& value, const char* flag, const char* expected);

}  // namespace treeformer
