#pragma once

// The header of a safetensors file: {name: {dtype, shape, data_offsets}}, JSON.  Read as strictly
// as Hugging Face's own library: each tensor's bytes are what its shape and type need, and together
// they cover the data of the file without hole or overlap.  A tensor of an unknown type may have
// any number of bytes: perhaps nobody needs it.
//
// A file of ours may hold slices of tensors.  A slice is a list of elements [count] under the name
// of its tensor, and the metadata say of what:
//   "__metadata__": {"treeformer.slices": "{\"a.weight\": {\"shape\": [3, 5], \"first\": 8}}"}
// Elements [first, first + count) of a row-major [3, 5] then.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

namespace treeformer {

struct TensorEntry {
  std::string name;
  std::string dtype;  // as the format calls it: "F32", "F8_E4M3", ...
  std::vector<int64_t> shape;
  int64_t begin = 0, end = 0;  // bytes of the data, half-open
  // The shape of the whole tensor of a slice, and its first element; else `shape` and 0.
  std::vector<int64_t> whole_shape = {};
  int64_t first = 0;
};

extern const char* const kSlicesField;  // of the metadata

// `data_bytes`: what follows the header.  Throws UserError saying what is wrong, without the
// file's name.
std::vector<TensorEntry> ParseSafetensorsHeader(std::string_view header, int64_t data_bytes);

// "F32 [2,3]"; of a long type or shape the beginning.
std::string DescribeTensor(std::string_view dtype, const std::vector<int64_t>& shape);
std::string DescribeDtype(std::string_view dtype);

}  // namespace treeformer
