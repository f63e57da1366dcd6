#pragma once

// What ended the program, as the sentence that it prints and the status that it exits with.

#include <exception>
#include <string>

namespace treeformer {

struct Failure {
  std::string sentence;
  int status = 0;
};

// UserError, a file system that refuses, and memory that does not suffice: kBadInput, with what was
// found.  Any other exception is a fault of the program: dist::kInternalError.
Failure Explain(const std::exception_ptr& exception);

}  // namespace treeformer
