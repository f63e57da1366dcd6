#pragma once

// Real data that the repository does not hold: looked for in $TREEFORMER_DATA, else in
// ../shared/data beside the source root (where tests run).  A test that needs it and
// finds none skips with a message.

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <string>

namespace treeformer {

inline std::string SharedData(const std::string& name) {
  const char* folder = std::getenv("TREEFORMER_DATA");
  return std::string(folder != nullptr ? folder : "../shared/data") + "/" + name;
}

#define SKIP_WITHOUT(path)                                                                  \
  if (!std::filesystem::exists(path)) {                                                     \
    GTEST_SKIP() << path << " is absent: set TREEFORMER_DATA to the folder of shared data"; \
  }

}  // namespace treeformer
