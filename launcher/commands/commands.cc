#include "launcher/commands/commands.h"

std::vector<Command> AllCommands() {
  return {TrainCommand(), EvaluateCommand(), PlanCommand(),
          VocabCommand(), PrepareCommand(),  BenchCommand()};
}
