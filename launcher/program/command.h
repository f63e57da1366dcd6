#pragma once

// The sub-commands of `treeformer`, and the flags each of them takes.
//
// gflags holds the process flags; the command line is parsed here over gflags' registry, because a
// command takes only its own flags and because a wrong one is refused with one sentence, the
// nearest name and exit status 2.  Forms: --name=value, --name value, --switch, --noswitch.

#include <functional>
#include <iosfwd>
#include <string>
#include <vector>

#include "dist/mpi_session.h"

namespace treeformer {

// Exit statuses besides 0, and dist::kInternalError.
constexpr int kBadInput = 2;       // one sentence on stderr says what and where
constexpr int kCheckpointed = 75;  // a signal stopped the run after a checkpoint: start it again

struct Command {
  std::string name;
  std::string purpose;             // one line, for the list of commands
  std::string help;                // a paragraph and examples
  std::vector<std::string> flags;  // names in gflags' registry, in the order of --help
  // After the flags are set, on every rank; returns the exit status.
  std::function<int(dist::Communicator&)> run;
  // False: the first process does it alone, and MPI is not started.
  bool uses_ranks = true;
};

// Sets the flags of `command`.  A flag given again replaces the one before, except --set and
// --text, whose values are collected, separated by line ends.  Returns true when help was asked
// for.  Throws UserError on a flag that is not the command's, a value that is not of its type, or a
// bare word.
bool ParseFlags(const Command& command, const std::vector<std::string>& arguments);

void PrintHelp(std::ostream& out, const std::vector<Command>& commands);
void PrintHelp(std::ostream& out, const Command& command);

// Finds the command arguments[0], parses the rest and runs it on the ranks of `session`; the first
// process prints help and version to `out`, without starting MPI.  Throws UserError.
int Dispatch(const std::vector<Command>& commands, const std::vector<std::string>& arguments,
             dist::MpiSession& session, std::ostream& out);

}  // namespace treeformer
