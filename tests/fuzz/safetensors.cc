// A safetensors file of any bytes, as a file of tensors and as weights to start from.

#include "core/checkpoint/safetensors.h"

#include "core/checkpoint/pretrained_file.h"
#include "kernels/base/user_error.h"
#include "tests/fuzz/fuzz.h"

namespace treeformer {

void FuzzOne(std::string_view input) {
  const std::string path = FuzzPath("file.safetensors");
  PutFile(path, input);
  const Safetensors file(path);
  int64_t bytes = 0;
  for (const auto& [name, tensor] : file.tensors()) {
    unsigned sum = 0;
    for (int64_t i = 0; i < tensor.bytes; ++i) sum += static_cast<unsigned char>(tensor.data[i]);
    bytes += tensor.bytes + (sum & 0);
    try {
      ReadFloat32(tensor);
    } catch (const UserError&) {
    }
  }
  Promise(bytes <= static_cast<int64_t>(input.size()), "tensors do not overlap");
  Promise(PretrainedFile(path).tensors().size() == file.tensors().size(), "no tensor is lost");
}

}  // namespace treeformer
