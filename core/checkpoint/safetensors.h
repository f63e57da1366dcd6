#pragma once

// safetensors, the tensor file of Hugging Face: 8 bytes of header length (little-endian), a JSON
// header {name: {dtype, shape, data_offsets}}, then the tensors' bytes, row-major.
// Files that cannot be read or written are UserErrors that name them; a file is read with whatever
// tensors it has, of any type and rank.

#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "core/tensor_slice.h"
#include "kernels/base/mapped_file.h"
#include "kernels/runtime/context.h"

namespace treeformer {

struct FileDigest {
  int64_t bytes = 0;
  uint64_t xxh3 = 0;
};

// Written aside, fsynced, renamed.  Tensors that are not whole become slices
// (core/checkpoint/safetensors_header.h).
FileDigest WriteSafetensors(Context& ctx, const std::string& path,
                            const std::vector<TensorSlice>& tensors);

FileDigest DigestFile(const std::string& path);

// In the file's memory; `data` may be aligned to nothing.
struct StoredTensor {
  std::string dtype;  // as the format calls it
  std::vector<int64_t> shape;
  const char* data = nullptr;
  int64_t bytes = 0;
  // The shape of the whole tensor of a slice, and its first element; else `shape` and 0.
  std::vector<int64_t> whole_shape = {};
  int64_t first = 0;

  // All of a tensor of that type and shape, or a slice of one.
  bool Has(DType type, const Shape& whole) const;
  std::string Describe() const;  // "F16 [2,3]"
};

// The values of F32, F64, F16 or BF16, rounded to float32.  UserError, without the file's name: of
// another type, or a value that float32 cannot hold (NaN, infinity, too large).
std::vector<float> ReadFloat32(const StoredTensor& tensor);

// A file mapped for reading.  Lives as long as the tensors it gives.
class Safetensors {
 public:
  explicit Safetensors(const std::string& path);

  const std::map<std::string, StoredTensor>& tensors() const { return tensors_; }

 private:
  MappedFile file_;
  std::map<std::string, StoredTensor> tensors_;
};

}  // namespace treeformer
