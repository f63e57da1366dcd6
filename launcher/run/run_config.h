#pragma once

// The experiment's configuration: a text proto (launcher/run/run.proto) from a file, single fields
// overridden from the command line, validated, then const.

#include <string>
#include <vector>

#include "dist/communicator.h"
#include "kernels/runtime/context.h"
#include "launcher/run/run.pb.h"

namespace treeformer {

// Reads FILE.  Throws UserError with file, line, column and field when it does not parse: a field
// that does not exist, a value of the wrong type, a missing brace.
config::RunConfig ReadRunConfig(const std::string& path);
config::RunConfig ParseRunConfig(const std::string& text, const std::string& name);

// Assignments `field.path=value`, separated by commas or line ends; a comma that no assignment
// follows belongs to the value.  A repeated field takes a list `1,2` and is replaced; an empty
// value clears a message, a string or a repeated field.  Throws UserError naming the field that
// does not exist, with the nearest name, or the value that does not fit.
void ApplyOverrides(const std::string& assignments, config::RunConfig& config);

// Checks `training` and that the batch divides over ranks and micro-batches.  Throws UserError
// naming field, value and what is allowed.  (model, bootstrap, optimizer: core/training/config.h.)
void ValidateTraining(const config::RunConfig& config, int ranks);

// Where a run works: no part of its experiment, which is the same on both.
struct DeviceChoice {
  Device device = Device::kCpu;
  bool cuda_graphs = false;
};

// What the model of this rank runs in: the CPU with training.matmul_precision, or a GPU of its own.
// Collective.  Throws UserError where there is no GPU for every rank.
Context MakeContext(dist::Communicator& communicator, Device device,
                    const config::Training& training);
// The type of a model's activations: float32 on a CPU, bfloat16 on a GPU.
DType ActivationDType(Device device);

// The first field that changes the result and differs, as a sentence "model.layers was 4 and is 6";
// empty when a run under `before` may go on under `now`, if the steps of its plan allow that
// (PlanDifference in launcher/run/run_plan.h).
std::string Difference(const config::RunConfig& before, const config::RunConfig& now);

std::string PrintRunConfig(const config::RunConfig& config);

// The experiment's file: `name` itself if it is a file, or launcher/experiments/NAME.textproto of
// the installed program or of the source tree.  Throws UserError listing the shipped ones.
std::string FindExperiment(const std::string& name);

}  // namespace treeformer
