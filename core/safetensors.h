#pragma once

// safetensors, the tensor file of Hugging Face: 8 bytes of header length (little-endian), a JSON
// header {name: {dtype, shape, data_offsets}}, then the tensors' bytes, row-major.
// Files that cannot be read or written are UserErrors that name them.

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "kernels/view.h"

struct NamedTensor {
  std::string name;
  In data;  // in host memory
};

struct FileDigest {
  int64_t bytes = 0;
  uint64_t xxh3 = 0;
};

// Written aside, fsynced, renamed.
FileDigest WriteSafetensors(const std::string& path, const std::vector<NamedTensor>& tensors);

FileDigest DigestFile(const std::string& path);

// A file mapped for reading.  Lives as long as the views it gives.
class Safetensors {
 public:
  explicit Safetensors(const std::string& path);
  Safetensors(const Safetensors&) = delete;
  ~Safetensors();

  const std::map<std::string, In>& tensors() const { return tensors_; }

 private:
  std::string path_;
  const char* data_ = nullptr;
  int64_t bytes_ = 0;
  std::map<std::string, In> tensors_;
};
