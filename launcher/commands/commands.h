#pragma once

// The commands of `treeformer`; each is made in its own file, launcher/X_command.cc.

#include "launcher/program/command.h"

namespace treeformer {

Command VocabCommand();
Command PrepareCommand();
Command TrainCommand();
Command EvaluateCommand();
Command PlanCommand();
Command BenchCommand();

// The six, in the order of --help.
std::vector<Command> AllCommands();

}  // namespace treeformer
