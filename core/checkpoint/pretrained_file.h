#pragma once

// Weights made elsewhere, as files: what training.start_from may name.
//
//   a safetensors file
//   a shard index: JSON {"weight_map": {tensor: file}}, each file beside it
//   a folder        of Hugging Face: model.safetensors, or model.safetensors.index.json;
//                   a checkpoint (core/checkpoint/checkpoint.h), whose hashes are verified
//
// Tensors go by the names that Hugging Face's BERT has today: `module.` and `_orig_mod.` of
// wrappers in front are dropped, LayerNorm.gamma and .beta are .weight and .bias, and a file in
// which nothing begins with `bert.` (a bare encoder) has it put before embeddings., encoder. and
// pooler.; cls.predictions.decoder.bias stands for a cls.predictions.bias that is missing.  What
// cannot be read is a UserError that names the file.

#include <map>
#include <string>

#include "core/checkpoint/safetensors.h"

namespace treeformer {

class PretrainedFile {
 public:
  explicit PretrainedFile(const std::string& path);

  struct Tensor {
    const StoredTensor* stored;
    std::string stored_name;
    std::string file;
  };
  const std::map<std::string, Tensor>& tensors() const { return tensors_; }
  const std::string& path() const { return path_; }

 private:
  using Names = std::map<std::string, std::string>;  // stored name -> file
  Names OpenFile(const std::string& path);
  Names OpenShards(const std::string& index);

  std::string path_;
  std::map<std::string, Safetensors> files_;
  std::map<std::string, Tensor> tensors_;
};

}  // namespace treeformer
