#include "core/checkpoint/checkpoint_part.h"

#include <algorithm>
#include <filesystem>
#include <functional>
#include <nlohmann/json.hpp>
#include <numeric>

#include "kernels/base/user_error.h"

namespace treeformer {

CheckpointPart::CheckpointPart(const CheckpointInfo& checkpoint, const std::string& part)
    : checkpoint_(checkpoint) {
  for (const std::string& name : checkpoint.files) {
    if (!IsFileOfPart(name, part)) continue;
    const std::string path = checkpoint.path + "/" + name;
    if (path_.empty()) path_ = path;
    for (const auto& [tensor_name, tensor] : files_.emplace_back(path).tensors()) {
      const auto count = std::accumulate(tensor.shape.begin(), tensor.shape.end(), int64_t{1},
                                         std::multiplies<>());
      slices_[tensor_name].push_back({&tensor, path, {tensor.first, tensor.first + count}});
    }
  }
  if (files_.empty()) throw UserError(Sentence(checkpoint.path, " has no file of its ", part));
  for (auto& [name, slices] : slices_) {
    std::ranges::sort(slices, {}, [](const Stored& stored) { return stored.elements.begin; });
  }
}

void CheckpointPart::Load(Context& ctx, const std::vector<TensorSlice>& tensors) const {
  for (const TensorSlice& tensor : tensors) Load(ctx, tensor);
  ctx.Synchronize();
}

void CheckpointPart::Load(Context& ctx, const TensorSlice& slice) const {
  const auto found = slices_.find(slice.name);
  if (found == slices_.end()) {
    throw UserError(Sentence(path_, " has no tensor ", slice.name, ", which the model needs"));
  }
  const DType dtype = slice.data.dtype();
  const Out data = slice.data.Reshaped({slice.elements.count()});
  int64_t filled = slice.elements.begin;
  for (const Stored& stored : found->second) {
    if (!stored.tensor->Has(dtype, slice.shape)) {
      throw UserError(Sentence(stored.path, ": ", slice.name, " is ", stored.tensor->Describe(),
                               " where the model has shape ", slice.shape,
                               " (or another element type): another configuration"));
    }
    const Range here = Intersect({filled, slice.elements.end}, stored.elements);
    if (here.begin != filled || here.count() == 0) continue;
    const char* const first =
        stored.tensor->data + (here.begin - stored.elements.begin) * SizeOf(dtype);
    Copy(ctx, data.Rows(here.begin - slice.elements.begin, here.end - slice.elements.begin),
         In(first, dtype, {here.count()}));
    filled = here.end;
  }
  if (filled < slice.elements.end) {
    throw UserError(
        Sentence(path_, " has no element ", filled, " of ", slice.name, ", which the model needs"));
  }
}

void LoadValues(Context& ctx, const CheckpointPart& model, Parameters& parameters) {
  model.Load(ctx, parameters.Tensors());
  parameters.RoundValues(ctx);
  if (model.tensors() != std::ssize(parameters.list())) {
    throw UserError(Sentence(model.path(), " holds ", model.tensors(),
                             " tensors where the model has ", parameters.list().size(),
                             ": another configuration"));
  }
  ctx.Synchronize();
}

std::optional<CheckpointPart> FindPart(const std::string& directory, const std::string& part,
                                       nlohmann::json* state) {
  constexpr int kTries = 20;
  for (int tries = 1;; ++tries) {
    const auto found = FindCheckpoint(directory, state);
    if (!found) return std::nullopt;
    try {
      return CheckpointPart(*found, part);
    } catch (const UserError&) {
      const bool whole = std::ranges::all_of(found->files, [&](const std::string& file) {
        return std::filesystem::exists(found->path + "/" + file);
      });
      if (whole || tries == kTries) throw;
    }
  }
}

}  // namespace treeformer
