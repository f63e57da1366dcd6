#pragma once

// The values that a model begins with instead of random ones (training.start_from).
//
// Every parameter of the model is found in the file by its name and has its shape, but
//   trees                 stay random where the file has none
//   the head              stays random where the file has no cls.predictions.* at all
//   position embeddings   of a longer table: its first rows
// Numbers of F64, F16 and BF16 become float32.  Tensors that the model has no parameter for are
// left out, whatever they are.  A config.json beside the file must agree with the model
// (pretrained_config.h).

#include <optional>

#include "core/checkpoint/pretrained_file.h"
#include "core/model_config.h"
#include "core/parameters.h"

namespace treeformer {

class PretrainedWeights {
 public:
  explicit PretrainedWeights(const std::string& path) : file_(path) {}

  // Throws UserError naming the file, the tensor, and the field of the configuration where one
  // helps.  `parameters` are declared, those of a `model`; they need no memory.
  void Check(const ModelConfig& model, const Parameters& parameters) const;
  // Fills the values; says in two lines what came from the file and what did not.
  std::string Load(Context& ctx, Parameters& parameters) const;
  std::string folder() const;  // that the file, or index, lies in
  // Rows of the word embeddings; empty where there are none.
  std::optional<int64_t> vocabulary_size() const;

 private:
  // Null: the parameter stays random.
  const PretrainedFile::Tensor* Find(const Parameter& parameter) const;
  std::vector<float> Read(const Parameter& parameter, const PretrainedFile::Tensor& tensor) const;
  std::string Describe(const Parameters& parameters) const;

  PretrainedFile file_;
};

}  // namespace treeformer
