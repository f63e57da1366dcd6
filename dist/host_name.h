#pragma once

#include <glog/logging.h>
#include <unistd.h>

#include <string>

namespace treeformer::dist {

inline std::string HostName() {
  char name[256] = {};
  CHECK_EQ(gethostname(name, sizeof(name) - 1), 0);
  return name;
}

}  // namespace treeformer::dist
