#include "core/safetensors.h"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#include <bit>
#include <cerrno>
#include <cstring>
#include <memory>
#include <nlohmann/json.hpp>
#include <utility>

#include "datasets/output_file.h"
#include "kernels/user_error.h"

namespace {

static_assert(std::endian::native == std::endian::little, "safetensors is little-endian");

using Json = nlohmann::ordered_json;

const std::pair<DType, const char*> kDTypes[] = {{DType::kFloat32, "F32"},
                                                 {DType::kFloat64, "F64"},
                                                 {DType::kBFloat16, "BF16"},
                                                 {DType::kInt32, "I32"}};

const char* NameOf(DType dtype) {
  for (const auto& [type, name] : kDTypes) {
    if (type == dtype) return name;
  }
  LOG(FATAL) << "a dtype without a name";
}

// Appends to a file and hashes what it appends.
class HashedFile {
 public:
  explicit HashedFile(const std::string& path) : file_(path), state_(XXH3_createState()) {
    XXH3_64bits_reset(state_.get());
  }
  void Append(const void* data, int64_t bytes) {
    if (bytes == 0) return;
    file_.Append(data, bytes);
    XXH3_64bits_update(state_.get(), data, bytes);
  }
  FileDigest Commit() {
    const FileDigest digest{file_.bytes(), XXH3_64bits_digest(state_.get())};
    file_.Commit();
    return digest;
  }

 private:
  struct FreeState {
    void operator()(XXH3_state_t* state) const { XXH3_freeState(state); }
  };
  datasets::OutputFile file_;
  std::unique_ptr<XXH3_state_t, FreeState> state_;
};

std::pair<const char*, int64_t> Map(const std::string& path) {
  const int file = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (file < 0) throw UserError(Sentence(path, " cannot be opened: ", strerror(errno)));
  struct stat status;
  CHECK_EQ(fstat(file, &status), 0) << path;
  void* data = nullptr;
  if (status.st_size > 0) {
    data = mmap(nullptr, status.st_size, PROT_READ, MAP_PRIVATE, file, 0);
  }
  close(file);
  if (data == MAP_FAILED) throw UserError(Sentence(path, " cannot be read: ", strerror(errno)));
  return {static_cast<const char*>(data), status.st_size};
}

Shape ShapeOf(const Json& extents) {
  CHECK_LE(extents.size(), static_cast<size_t>(Shape::kMaxRank));
  const std::vector<int64_t> e = extents.get<std::vector<int64_t>>();
  switch (e.size()) {
    case 0:
      return {};
    case 1:
      return {e[0]};
    case 2:
      return {e[0], e[1]};
    case 3:
      return {e[0], e[1], e[2]};
    default:
      return {e[0], e[1], e[2], e[3]};
  }
}

In ViewOf(const Json& entry, const char* data, int64_t bytes) {
  const int64_t begin = entry.at("data_offsets").at(0), end = entry.at("data_offsets").at(1);
  for (const auto& [dtype, name] : kDTypes) {
    if (entry.at("dtype") != name) continue;
    const In view(data + begin, dtype, ShapeOf(entry.at("shape")));
    if (begin < 0 || end > bytes || end - begin != view.bytes()) break;
    return view;
  }
  throw std::out_of_range("a tensor's dtype or offsets");
}

}  // namespace

FileDigest WriteSafetensors(const std::string& path, const std::vector<NamedTensor>& tensors) {
  Json header = Json::object();
  int64_t offset = 0;
  for (const auto& [name, data] : tensors) {
    std::vector<int64_t> shape;
    for (int axis = 0; axis < data.shape().rank(); ++axis) shape.push_back(data.shape()[axis]);
    header[name] = {{"dtype", NameOf(data.dtype())},
                    {"shape", shape},
                    {"data_offsets", {offset, offset + data.bytes()}}};
    offset += data.bytes();
  }
  std::string text = header.dump();
  text.append((8 - text.size() % 8) % 8, ' ');  // the tensors begin aligned
  const uint64_t length = text.size();

  HashedFile file(path);
  file.Append(&length, sizeof length);
  file.Append(text.data(), text.size());
  for (const NamedTensor& tensor : tensors) file.Append(tensor.data.data(), tensor.data.bytes());
  return file.Commit();
}

FileDigest DigestFile(const std::string& path) {
  const auto [data, bytes] = Map(path);
  const FileDigest digest{bytes, XXH3_64bits(data, bytes)};
  if (data != nullptr) munmap(const_cast<char*>(data), bytes);
  return digest;
}

Safetensors::Safetensors(const std::string& path) : path_(path) {
  std::tie(data_, bytes_) = Map(path);
  try {
    uint64_t length = 0;
    if (bytes_ >= 8) memcpy(&length, data_, 8);
    if (bytes_ < 8 || length > static_cast<uint64_t>(bytes_ - 8)) {
      throw std::out_of_range("the header's length");
    }
    const Json header = Json::parse(data_ + 8, data_ + 8 + length);
    for (const auto& [name, entry] : header.items()) {
      if (name == "__metadata__") continue;
      tensors_[name] = ViewOf(entry, data_ + 8 + length, bytes_ - 8 - length);
    }
  } catch (const std::exception& error) {
    if (data_ != nullptr) munmap(const_cast<char*>(data_), bytes_);
    throw UserError(Sentence(path, " is not a whole safetensors file: ", error.what()));
  }
}

Safetensors::~Safetensors() {
  if (data_ != nullptr) munmap(const_cast<char*>(data_), bytes_);
}
