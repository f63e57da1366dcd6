#include <glog/logging.h>
#include <unistd.h>

#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <filesystem>

#include "kernels/base/user_error.h"
#include "tests/fuzz/fuzz.h"

namespace treeformer {

namespace fs = std::filesystem;

namespace {

class Folder {
 public:
  Folder() {
    const char* const memory = "/dev/shm";
    const fs::path base = access(memory, W_OK) == 0 ? fs::path(memory) : fs::temp_directory_path();
    path_ = base / ("treeformer_fuzz_" + std::to_string(getpid()));
    fs::create_directories(path_);
  }
  ~Folder() {
    std::error_code ignored;
    fs::remove_all(path_, ignored);
  }
  const fs::path& path() const { return path_; }

 private:
  fs::path path_;
};

}  // namespace

std::string FuzzPath(const std::string& name) {
  static const Folder folder;
  return folder.path() / name;
}

void PutFile(const std::string& path, std::string_view bytes) {
  FILE* file = fopen(path.c_str(), "wb");
  if (file == nullptr) {
    fs::create_directories(fs::path(path).parent_path());
    file = fopen(path.c_str(), "wb");
  }
  PCHECK(file != nullptr) << path;
  CHECK_EQ(fwrite(bytes.data(), 1, bytes.size(), file), bytes.size()) << path;
  fclose(file);
}

void Promise(bool kept, const char* promise) { CHECK(kept) << "broken: " << promise; }

extern "C" int LLVMFuzzerTestOneInput(const uint8_t* data, size_t size) {
  static const bool quiet = [] {  // what is refused is told a million times
    FLAGS_logtostderr = true;
    FLAGS_minloglevel = google::GLOG_FATAL;
    return true;
  }();
  (void)quiet;
  try {
    FuzzOne({reinterpret_cast<const char*>(data), size});
  } catch (const UserError&) {
  }
  return 0;
}

}  // namespace treeformer
