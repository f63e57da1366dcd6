#include "launcher/commands/commands.h"

namespace treeformer {

std::vector<Command> AllCommands() {
  return {TrainCommand(), EvaluateCommand(), PlanCommand(),
          VocabCommand(), PrepareCommand(),  BenchCommand()};
}

}  // namespace treeformer
