#pragma once

// TemporaryFolder: a fresh folder that dies with the object, the files in it, and
// EXPECT_REFUSED: the statement throws a UserError whose sentence holds the words.

#include <gtest/gtest.h>
#include <stdlib.h>

#include <filesystem>
#include <fstream>
#include <iterator>
#include <string>

#include "kernels/base/user_error.h"

namespace treeformer {

class TemporaryFolder {
 public:
  TemporaryFolder() {
    std::string name = testing::TempDir() + "/treeformer_XXXXXX";
    path_ = mkdtemp(name.data());
  }
  ~TemporaryFolder() { std::filesystem::remove_all(path_); }

  std::string File(const std::string& name) const { return path_ + "/" + name; }
  std::string Write(const std::string& name, const std::string& contents) const {
    std::filesystem::create_directories(std::filesystem::path(File(name)).parent_path());
    std::ofstream(File(name), std::ios::binary) << contents;
    return File(name);
  }
  std::string Read(const std::string& name) const {
    std::ifstream file(File(name), std::ios::binary);
    return {std::istreambuf_iterator<char>(file), {}};
  }
  bool IsEmpty() const { return std::filesystem::is_empty(path_); }
  const std::string& path() const { return path_; }

 private:
  std::string path_;
};

#define EXPECT_REFUSED(statement, words)                                                 \
  try {                                                                                  \
    statement;                                                                           \
    ADD_FAILURE() << "not refused";                                                      \
  } catch (const UserError& error) {                                                     \
    EXPECT_NE(std::string(error.what()).find(words), std::string::npos) << error.what(); \
  }

}  // namespace treeformer
