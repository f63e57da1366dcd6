#include "launcher/program/command.h"

#include <gflags/gflags.h>

#include <algorithm>
#include <iomanip>
#include <ostream>

#include "kernels/base/user_error.h"
#include "launcher/report/nearest.h"

namespace treeformer {

namespace {

bool Takes(const Command& command, const std::string& flag) {
  return std::find(command.flags.begin(), command.flags.end(), flag) != command.flags.end();
}

bool IsSwitch(const std::string& flag) {
  return gflags::GetCommandLineFlagInfoOrDie(flag.c_str()).type == "bool";
}

void SetFlag(const std::string& flag, const std::string& value) {
  const bool repeatable = flag == "set" || flag == "text";
  std::string all = value;
  std::string before;
  if (repeatable && gflags::GetCommandLineOption(flag.c_str(), &before) && !before.empty()) {
    all = before + "\n" + value;
  }
  if (gflags::SetCommandLineOption(flag.c_str(), all.c_str()).empty()) {
    const auto info = gflags::GetCommandLineFlagInfoOrDie(flag.c_str());
    const bool number = info.type != "bool" && info.type != "string";
    const std::string expected = info.type == "bool"
                                     ? "true or false"
                                     : (info.type == "double" ? "a number" : "a whole number");
    throw UserError(Sentence("--", flag, " is '", value, "'; expected ",
                             number || info.type == "bool" ? expected : "another value", ": ",
                             info.description));
  }
}

std::string Wrap(const std::string& text, size_t indent, size_t width = 96) {
  std::string wrapped, line;
  std::istringstream words(text);
  for (std::string word; words >> word;) {
    if (!line.empty() && indent + line.size() + 1 + word.size() > width) {
      wrapped += line + "\n" + std::string(indent, ' ');
      line.clear();
    }
    line += (line.empty() ? "" : " ") + word;
  }
  return wrapped + line;
}

const Command& FindCommand(const std::vector<Command>& commands, const std::string& name) {
  std::vector<std::string> names;
  for (const Command& command : commands) {
    if (command.name == name) return command;
    names.push_back(command.name);
  }
  throw UserError(Sentence("'", name, "' is not a command of treeformer", DidYouMean(name, names),
                           "; `treeformer --help` lists them"));
}

bool AsksForHelp(const std::string& argument) {
  return argument == "--help" || argument == "-h" || argument == "-help" || argument == "help";
}

bool AsksForVersion(const std::string& argument) {
  return argument == "--version" || argument == "-version" || argument == "version";
}

}  // namespace

bool ParseFlags(const Command& command, const std::vector<std::string>& arguments) {
  for (size_t i = 0; i < arguments.size(); ++i) {
    const std::string& argument = arguments[i];
    if (AsksForHelp(argument)) return true;
    if (argument.size() < 2 || argument[0] != '-') {
      throw UserError(Sentence("'", argument, "' is not a flag; `treeformer ", command.name,
                               "` takes flags only: `treeformer ", command.name,
                               " --help` lists them"));
    }
    const size_t begin = argument.find_first_not_of('-');
    const size_t equals = argument.find('=');
    const std::string name =
        begin == std::string::npos ? "" : argument.substr(begin, equals - begin);
    if (Takes(command, name)) {
      if (equals != std::string::npos) {
        SetFlag(name, argument.substr(equals + 1));
      } else if (IsSwitch(name)) {
        SetFlag(name, "true");
      } else if (i + 1 < arguments.size()) {
        SetFlag(name, arguments[++i]);
      } else {
        throw UserError(Sentence("--", name, " stands at the end without its value"));
      }
    } else if (name.starts_with("no") && equals == std::string::npos &&
               Takes(command, name.substr(2)) && IsSwitch(name.substr(2))) {
      SetFlag(name.substr(2), "false");
    } else {
      throw UserError(Sentence("--", name, " is not a flag of `treeformer ", command.name, "`",
                               DidYouMean(name, command.flags, "--"), "; `treeformer ",
                               command.name, " --help` lists them"));
    }
  }
  return false;
}

void PrintHelp(std::ostream& out, const std::vector<Command>& commands) {
  out << "treeformer: Transformers whose attention is routed by learned decision trees\n\n"
      << "usage: treeformer COMMAND [--flag=value ...]\n\n";
  for (const Command& command : commands) {
    out << "  " << std::left << std::setw(10) << command.name << command.purpose << "\n";
  }
  out << "\n`treeformer COMMAND --help` explains a command, its flags, and gives examples;\n"
         "`treeformer --version` prints the version.\n\n"
         "exit status: 0 done; "
      << kBadInput << " something given cannot be used, as one sentence says; " << kCheckpointed
      << " stopped by a signal\nafter a checkpoint, the same command goes on; "
      << dist::kInternalError << " a fault of the program\n";
}

void PrintHelp(std::ostream& out, const Command& command) {
  out << "treeformer " << command.name << ": " << command.purpose << "\n\n" << command.help;
  out << "\nflags:\n";
  for (const std::string& flag : command.flags) {
    const auto info = gflags::GetCommandLineFlagInfoOrDie(flag.c_str());
    std::string text = info.description;
    if (!info.default_value.empty()) text += " [" + info.default_value + "]";
    out << "  --" << std::left << std::setw(22) << flag << Wrap(text, 26) << "\n";
  }
}

int Dispatch(const std::vector<Command>& commands, const std::vector<std::string>& arguments,
             dist::MpiSession& session, std::ostream& out) {
  if (arguments.empty() || AsksForHelp(arguments[0])) {
    if (session.is_first()) PrintHelp(out, commands);
    return arguments.empty() ? kBadInput : 0;
  }
  if (AsksForVersion(arguments[0])) {
    if (session.is_first()) out << "treeformer " << TREEFORMER_VERSION << "\n";
    return 0;
  }
  const Command& command = FindCommand(commands, arguments[0]);
  if (ParseFlags(command, {arguments.begin() + 1, arguments.end()})) {
    if (session.is_first()) PrintHelp(out, command);
    return 0;
  }
  if (!command.uses_ranks && !session.is_first()) return 0;
  if (command.uses_ranks) session.Start();
  return command.run(session.communicator());
}

}  // namespace treeformer
