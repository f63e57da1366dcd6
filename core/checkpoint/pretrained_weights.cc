#include "core/checkpoint/pretrained_weights.h"

#include <algorithm>
#include <filesystem>
#include <set>

#include "core/checkpoint/pretrained_config.h"
#include "kernels/base/user_error.h"

namespace treeformer {

namespace {

const char* const kWords = "bert.embeddings.word_embeddings.weight";
const char* const kPositions = "bert.embeddings.position_embeddings.weight";
const char* const kOutput = "cls.predictions.decoder.weight";
const char* const kHead = "cls.predictions.";

bool HasRows(const StoredTensor& stored, const Shape& shape) {
  return stored.shape.size() == 2 && shape.rank() == 2 && stored.shape[1] == shape[1];
}

// The field of the configuration that makes a parameter as large as it is.
std::string Advice(const std::string& name, const StoredTensor& stored, const Shape& shape) {
  if (!HasRows(stored, shape)) return "model.width, model.feed_forward and the like must agree";
  if (name == kPositions) {
    return Sentence("model.max_positions (if not given, data.sequence_length) may be at most ",
                    stored.shape[0]);
  }
  if (name == kWords) return "data.vocabulary must be the vocabulary of the weights";
  return "the fields of model must agree";
}

// At most four names, then how many more.
std::string List(const std::vector<std::string>& names) {
  constexpr size_t kMost = 4;
  std::string list;
  for (size_t i = 0; i < std::min(kMost, names.size()); ++i) list += (i ? ", " : "") + names[i];
  if (names.size() > kMost) list += Sentence(" and ", names.size() - kMost, " more");
  return list.empty() ? "nothing" : list;
}

}  // namespace

std::optional<int64_t> PretrainedWeights::vocabulary_size() const {
  const auto words = file_.tensors().find(kWords);
  if (words == file_.tensors().end() || words->second.stored->shape.empty()) return std::nullopt;
  return words->second.stored->shape[0];
}

std::string PretrainedWeights::folder() const {
  const std::filesystem::path folder = std::filesystem::path(file_.path()).parent_path();
  return folder.empty() ? "." : folder.string();
}

const PretrainedFile::Tensor* PretrainedWeights::Find(const Parameter& parameter) const {
  const auto& tensors = file_.tensors();
  const std::string& name = parameter.name;
  const auto found = tensors.find(name);
  if (found == tensors.end()) {
    const auto head = tensors.lower_bound(kHead);
    const bool has_head = head != tensors.end() && head->first.starts_with(kHead);
    if (IsOfTree(parameter.role) || (name.starts_with(kHead) && !has_head)) return nullptr;
    throw UserError(Sentence(file_.path(), " has no tensor ", name, ", which the model needs"));
  }
  const StoredTensor& stored = *found->second.stored;
  const Shape& shape = parameter.shape;
  const bool first_rows =
      name == kPositions && HasRows(stored, shape) && stored.shape[0] > shape[0];
  bool same = std::ssize(stored.shape) == shape.rank();
  for (int axis = 0; same && axis < shape.rank(); ++axis) same = stored.shape[axis] == shape[axis];
  if (same || first_rows) return &found->second;
  throw UserError(Sentence(found->second.file, ": ", found->second.stored_name, " is ",
                           stored.Describe(), ", the model's is ", shape, "; ",
                           Advice(name, stored, shape)));
}

std::vector<float> PretrainedWeights::Read(const Parameter& parameter,
                                           const PretrainedFile::Tensor& tensor) const {
  try {
    std::vector<float> values = ReadFloat32(*tensor.stored);
    values.resize(parameter.shape.count());  // the first positions
    return values;
  } catch (const UserError& error) {
    throw UserError(Sentence(tensor.file, ": ", tensor.stored_name, ": ", error.what()));
  }
}

void PretrainedWeights::Check(const ModelConfig& model, const Parameters& parameters) const {
  CheckPretrainedConfig(folder(), model, file_.tensors().contains(kOutput));
  std::vector<const PretrainedFile::Tensor*> found;
  for (const Parameter& parameter : parameters.list()) found.push_back(Find(parameter));
  for (size_t i = 0; i < found.size(); ++i) {  // names and shapes first: they need no reading
    if (found[i] != nullptr) Read(parameters.list()[i], *found[i]);
  }
}

std::string PretrainedWeights::Load(Context& ctx, Parameters& parameters) const {
  for (const Parameter& parameter : parameters.list()) {
    const PretrainedFile::Tensor* const tensor = Find(parameter);
    if (tensor == nullptr) continue;
    const std::vector<float> values = Read(parameter, *tensor);
    Copy(ctx, Parameters::Window(parameters.values(), parameter),
         View<const float>(values.data(), parameter.shape));
    ctx.Synchronize();  // the values live no longer
  }
  parameters.RoundValues(ctx);
  ctx.Synchronize();
  return Describe(parameters);
}

std::string PretrainedWeights::Describe(const Parameters& parameters) const {
  std::set<std::string> types, used;
  std::vector<std::string> random, left_out;
  std::string positions;
  int64_t trees = 0, head = 0;
  for (const Parameter& parameter : parameters.list()) {
    const PretrainedFile::Tensor* const tensor = Find(parameter);
    if (tensor != nullptr) {
      types.insert(tensor->stored->dtype);
      used.insert(parameter.name);
      const int64_t rows = tensor->stored->shape.empty() ? 0 : tensor->stored->shape[0];
      if (parameter.name == kPositions && rows > parameter.shape[0]) {
        positions = Sentence(", the first ", parameter.shape[0], " of ", rows, " positions");
      }
    } else if (IsOfTree(parameter.role)) {
      ++trees;
    } else {
      ++head;
    }
  }
  for (const auto& [name, tensor] : file_.tensors()) {
    if (!used.contains(name)) left_out.push_back(tensor.stored_name);
  }
  if (head > 0) random.push_back(Sentence("the head (", kHead, "*)"));
  if (trees > 0) random.push_back(Sentence(trees, " parameters of trees"));
  return Sentence("weights: ", used.size(), " tensors (",
                  List(std::vector<std::string>(types.begin(), types.end())), positions, ") from ",
                  file_.path(), "\nweights: random at first: ", List(random),
                  "; left out of the file: ", List(left_out));
}

}  // namespace treeformer
