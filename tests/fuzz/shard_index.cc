// The index of a model in shards, beside a file of tensors "a" and "b".

#include "core/checkpoint/pretrained_file.h"
#include "tests/fuzz/fuzz.h"

namespace treeformer {

void FuzzOne(std::string_view input) {
  static const bool written = [] {
    const std::string header = R"({"a":{"dtype":"F32","shape":[1],"data_offsets":[0,4]},)"
                               R"("b":{"dtype":"I64","shape":[1],"data_offsets":[4,12]}}    )";
    const uint64_t length = header.size();
    PutFile(FuzzPath("s"), std::string(reinterpret_cast<const char*>(&length), sizeof length) +
                               header + std::string(12, '\0'));
    return true;
  }();
  Promise(written, "the shard is there");
  PutFile(FuzzPath("index.json"), input);
  const PretrainedFile file(FuzzPath("index.json"));
  Promise(file.tensors().size() <= 2, "only tensors of the shard are found");
}

}  // namespace treeformer
