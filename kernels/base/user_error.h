#pragma once

// UserError: the user's input (a flag, a configuration, a file, data) cannot be
// used.  what() is one sentence: what was found, where (file, line, field), and
// what was expected.  main() prints it and exits with status 2, no stack trace.
// A wrong state inside the program is a CHECK, never this.

#include <sstream>
#include <stdexcept>
#include <string>

namespace treeformer {

class UserError : public std::runtime_error {
 public:
  explicit UserError(const std::string& sentence) : std::runtime_error(sentence) {}
};

// The parts of a sentence, joined as operator<< prints them.
template <typename... Parts>
std::string Sentence(const Parts&... parts) {
  std::ostringstream sentence;
  (sentence << ... << parts);
  return sentence.str();
}

// A field of a configuration that must be `good`: names it, its value and what is allowed.
template <typename T>
void RequireField(bool good, const std::string& field, const T& value, const std::string& allowed) {
  if (!good) throw UserError(Sentence(field, " is ", value, "; allowed: ", allowed));
}

}  // namespace treeformer
