#include "core/checkpoint/pretrained_config.h"

#include <algorithm>
#include <cmath>
#include <filesystem>
#include <initializer_list>
#include <nlohmann/json.hpp>

#include "core/checkpoint/strict_json.h"
#include "kernels/base/user_error.h"

namespace treeformer {

namespace {

using nlohmann::json;

class ConfigFile {
 public:
  explicit ConfigFile(const std::string& path)
      : path_(path), fields_(ReadStrictJson(path, /*most_depth=*/64)) {
    if (!fields_.is_object()) {
      throw UserError(path + " is no JSON object; expected the configuration of the weights");
    }
  }

  const json& Get(const char* field) const {
    static const json nothing;
    const auto found = fields_.find(field);
    return found == fields_.end() ? nothing : *found;
  }
  void RequireOneOf(const char* field, std::initializer_list<json> allowed,
                    const std::string& expected) const {
    const json& value = Get(field);
    if (value.is_null() || std::find(allowed.begin(), allowed.end(), value) != allowed.end()) {
      return;
    }
    constexpr size_t kMostBytes = 80;
    std::string text = value.dump(-1, ' ', /*ensure_ascii=*/true);
    if (text.size() > kMostBytes) text = text.substr(0, kMostBytes) + "...";
    throw UserError(Sentence(path_, ": ", field, " is ", text, ", expected ", expected));
  }

 private:
  const std::string path_;
  const json fields_;
};

}  // namespace

void CheckPretrainedConfig(const std::string& folder, const ModelConfig& model,
                           bool has_output_matrix) {
  const std::string path = folder + "/config.json";
  std::error_code error;
  if (!std::filesystem::exists(path, error)) return;
  const ConfigFile config(path);
  config.RequireOneOf("model_type", {"bert"}, "bert: other models compute otherwise");
  if (config.Get("model_type") == "bert" && model.pre_norm) {
    throw UserError(Sentence(path, ": model_type bert has its norms behind the branches, ",
                             "model.pre_norm is true; expected false"));
  }
  config.RequireOneOf("num_attention_heads", {model.heads},
                      Sentence(model.heads, ", which is model.heads: the two must agree"));
  config.RequireOneOf("hidden_act", {"gelu", "gelu_python"}, "gelu, the exact one");
  config.RequireOneOf("position_embedding_type", {"absolute"}, "absolute");
  if (has_output_matrix) {
    config.RequireOneOf("tie_word_embeddings", {true},
                        "true: the model's output matrix is that of the words");
  }
  const json& epsilon = config.Get("layer_norm_eps");
  if (epsilon.is_number() && std::abs(epsilon.get<double>()) < 1 &&
      epsilon.get<float>() == model.layer_norm_epsilon) {
    return;
  }
  config.RequireOneOf("layer_norm_eps", {},
                      Sentence(model.layer_norm_epsilon,
                               ", which is model.layer_norm_epsilon: the two must agree"));
}

}  // namespace treeformer
