#pragma once

// config.json, which Hugging Face writes beside the weights: what the shapes of tensors do not
// tell, above all the number of heads.
//
// Checked where present: model_type, num_attention_heads, hidden_act, layer_norm_eps,
// position_embedding_type and, where the file has an output matrix of its own,
// tie_word_embeddings.  A value that would make another function of the same weights is a
// UserError that names the file, the field, both values and the field of our configuration where
// there is one.  Fields that are absent or null say nothing: so does a folder without the file.

#include <string>

#include "core/model_config.h"

namespace treeformer {

void CheckPretrainedConfig(const std::string& folder, const ModelConfig& model,
                           bool has_output_matrix);

}  // namespace treeformer
