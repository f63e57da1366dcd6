#pragma once

// A disk without room: while it lives, no file of this process grows beyond `bytes`.

#include <signal.h>
#include <sys/resource.h>

namespace treeformer {

class FullDisk {
 public:
  explicit FullDisk(rlim_t bytes = 0) {
    signal(SIGXFSZ, SIG_IGN);  // the write fails instead
    getrlimit(RLIMIT_FSIZE, &before_);
    const rlimit small = {bytes, before_.rlim_max};
    setrlimit(RLIMIT_FSIZE, &small);
  }
  FullDisk(const FullDisk&) = delete;
  ~FullDisk() { setrlimit(RLIMIT_FSIZE, &before_); }

 private:
  rlimit before_;
};

}  // namespace treeformer
