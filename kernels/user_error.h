#pragma once

// UserError: the user's input (a flag, a configuration, a file, data) cannot be
// used.  what() is one sentence: what was found, where (file, line, field), and
// what was expected.  main() prints it and exits with status 2, no stack trace.
// A wrong state inside the program is a CHECK, never this.

#include <sstream>
#include <stdexcept>
#include <string>

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
