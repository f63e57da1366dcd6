// The JSON header of a safetensors file, of right length, before some bytes of data.

#include "core/checkpoint/safetensors_header.h"

#include "tests/fuzz/fuzz.h"

namespace treeformer {

void FuzzOne(std::string_view input) {
  const int64_t data_bytes = TakeByte(&input);
  int64_t bytes = 0;
  for (const TensorEntry& entry : ParseSafetensorsHeader(input, data_bytes)) {
    Promise(0 <= entry.begin && entry.begin <= entry.end && entry.end <= data_bytes,
            "tensors lie in the data");
    bytes += entry.end - entry.begin;
  }
  Promise(bytes == data_bytes, "tensors cover the data");
}

}  // namespace treeformer
