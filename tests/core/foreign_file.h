#pragma once

// Safetensors files as others write them: any header, any bytes behind it.

#include <cstring>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

namespace treeformer {

// `header` padded with nothing.
inline std::string ForeignFile(const std::string& header, const std::string& data) {
  const uint64_t length = header.size();
  return std::string(reinterpret_cast<const char*>(&length), sizeof length) + header + data;
}

template <typename T>
std::string BytesOf(const std::vector<T>& values) {
  return {reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T)};
}

struct ForeignTensor {
  std::string name, dtype;
  std::vector<int64_t> shape;
  std::string bytes;
};

inline std::string ForeignFile(const std::vector<ForeignTensor>& tensors) {
  nlohmann::json header = nlohmann::json::object();
  std::string data;
  for (const ForeignTensor& tensor : tensors) {
    header[tensor.name] = {{"dtype", tensor.dtype},
                           {"shape", tensor.shape},
                           {"data_offsets", {data.size(), data.size() + tensor.bytes.size()}}};
    data += tensor.bytes;
  }
  return ForeignFile(header.dump(), data);
}

}  // namespace treeformer
