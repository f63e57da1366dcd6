#include "core/checkpoint/pretrained_file.h"

#include <algorithm>
#include <filesystem>

#include "core/checkpoint/checkpoint.h"
#include "core/checkpoint/strict_json.h"
#include "kernels/base/user_error.h"

namespace treeformer {

namespace {

namespace fs = std::filesystem;

const char* const kFile = "model.safetensors";
const char* const kIndex = "model.safetensors.index.json";
const char* const kManifest = "manifest.json";

bool Exists(const std::string& path) {
  std::error_code error;
  return fs::exists(path, error);
}

// The file or index that `path` stands for.
std::string Resolve(const std::string& path) {
  std::error_code error;
  if (!fs::is_directory(path, error)) return path;
  if (Exists(path + "/" + kManifest)) OpenCheckpoint(path, /*state=*/nullptr);  // verified
  for (const char* name : {kFile, kIndex}) {
    if (Exists(path + "/" + name)) return path + "/" + name;
  }
  throw UserError(Sentence(path, " has neither ", kFile, " nor ", kIndex,
                           "; expected a folder of Hugging Face or a checkpoint step_N"));
}

std::string CurrentName(std::string name, bool prefixed) {
  for (const char* suffix : {"gamma", "beta"}) {
    const std::string old = std::string(".LayerNorm.") + suffix;
    if (!name.ends_with(old)) continue;
    name.replace(name.size() - old.size(), old.size(),
                 suffix == std::string("gamma") ? ".LayerNorm.weight" : ".LayerNorm.bias");
  }
  const auto begins = [&](const char* part) { return name.starts_with(part); };
  if (!prefixed && (begins("embeddings.") || begins("encoder.") || begins("pooler."))) {
    return "bert." + name;
  }
  return name;
}

std::string WithoutWrappers(std::string name) {
  for (bool again = true; again;) {
    again = false;
    for (const std::string wrapper : {"module.", "_orig_mod."}) {
      if (!name.starts_with(wrapper)) continue;
      name.erase(0, wrapper.size());
      again = true;
    }
  }
  return name;
}

}  // namespace

PretrainedFile::PretrainedFile(const std::string& path) : path_(Resolve(path)) {
  const Names names = path_.ends_with(".json") ? OpenShards(path_) : OpenFile(path_);
  const bool prefixed = std::any_of(names.begin(), names.end(), [](const auto& name) {
    return WithoutWrappers(name.first).starts_with("bert.");
  });
  for (const auto& [stored_name, file] : names) {
    const StoredTensor& stored = files_.at(file).tensors().at(stored_name);
    const std::string name = CurrentName(WithoutWrappers(stored_name), prefixed);
    const auto [before, added] = tensors_.insert({name, {&stored, stored_name, file}});
    if (!added) {
      throw UserError(Sentence(path_, " has both ", before->second.stored_name, " and ",
                               stored_name, ", which mean the same parameter"));
    }
  }
  // The same parameter too; where both are stored they are tied.
  if (tensors_.contains("cls.predictions.bias")) return;
  auto decoder_bias = tensors_.extract("cls.predictions.decoder.bias");
  if (decoder_bias.empty()) return;
  decoder_bias.key() = "cls.predictions.bias";
  tensors_.insert(std::move(decoder_bias));
}

PretrainedFile::Names PretrainedFile::OpenFile(const std::string& path) {
  Names names;
  for (const auto& [name, stored] : files_.try_emplace(path, path).first->second.tensors()) {
    names[name] = path;
  }
  return names;
}

PretrainedFile::Names PretrainedFile::OpenShards(const std::string& index) {
  const nlohmann::json whole = ReadStrictJson(index, /*most_depth=*/16);
  const nlohmann::json map =
      whole.is_object() ? whole.value("weight_map", nlohmann::json()) : nlohmann::json();
  if (!map.is_object()) {
    throw UserError(index + " has no weight_map; expected the index of a model in shards");
  }
  const fs::path folder = fs::path(index).parent_path();
  Names names;
  for (const auto& [name, shard] : map.items()) {
    const std::string file = shard.is_string() ? shard.get<std::string>() : "";
    if (file.empty() || file == "." || file == ".." ||
        file.find_first_of({"/\0", 2}) != std::string::npos) {
      throw UserError(Sentence(index, ": weight_map gives ", name, " the file ", shard.dump(),
                               "; expected the name of a file beside the index"));
    }
    const std::string path = folder / file;
    const Safetensors& tensors = files_.try_emplace(path, path).first->second;
    if (!tensors.tensors().contains(name)) {
      throw UserError(Sentence(path, " has no tensor ", name, ", which ", index, " says it has"));
    }
    names[name] = path;
  }
  return names;
}

}  // namespace treeformer
