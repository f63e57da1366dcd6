#pragma once

// UnfinishedFile: a file that must not outlive the program half-written.  Whoever ends the program
// without unwinding, as a signal does, calls RemoveUnfinishedFiles first.

#include <string>

namespace datasets {

class UnfinishedFile {
 public:
  explicit UnfinishedFile(const std::string& path);
  UnfinishedFile(const UnfinishedFile&) = delete;
  ~UnfinishedFile();

 private:
  const std::string path_;
};

// From now on no new one can be begun: whoever tries waits for the end of the program.
void RemoveUnfinishedFiles();

}  // namespace datasets
