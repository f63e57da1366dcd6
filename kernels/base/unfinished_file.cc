#include "kernels/base/unfinished_file.h"

#include <unistd.h>

#include <mutex>
#include <set>

namespace treeformer {
namespace {

// As signals are: one for the process.
std::mutex mutex;
std::multiset<std::string> paths;

}  // namespace

UnfinishedFile::UnfinishedFile(const std::string& path, const std::function<void()>& create)
    : path_(path) {
  const std::lock_guard lock(mutex);
  create();
  paths.insert(path_);
}

UnfinishedFile::~UnfinishedFile() {
  const std::lock_guard lock(mutex);
  paths.erase(paths.find(path_));
}

void RemoveUnfinishedFiles() {
  mutex.lock();  // for good
  for (const std::string& path : paths) unlink(path.c_str());
}

}  // namespace treeformer
