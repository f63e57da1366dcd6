#pragma once

// UnfinishedFile: a file that must not outlive the program half-written.  Code that ends the
// program without unwinding, as at a signal, calls RemoveUnfinishedFiles first.

#include <functional>
#include <string>

namespace treeformer {

class UnfinishedFile {
 public:
  // `create` makes the file, or throws.
  UnfinishedFile(const std::string& path, const std::function<void()>& create);
  UnfinishedFile(const UnfinishedFile&) = delete;
  ~UnfinishedFile();

 private:
  const std::string path_;
};

// From now on no new one can be begun: a thread that tries waits for the end of the program.
void RemoveUnfinishedFiles();

}  // namespace treeformer
