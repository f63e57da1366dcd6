#include "core/checkpoint/safetensors.h"

#include <xxhash.h>

#include <bit>
#include <cmath>
#include <cstring>
#include <limits>
#include <memory>
#include <nlohmann/json.hpp>
#include <utility>

#include "core/checkpoint/safetensors_header.h"
#include "kernels/base/output_file.h"
#include "kernels/base/user_error.h"

namespace treeformer {

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
  OutputFile file_;
  std::unique_ptr<XXH3_state_t, FreeState> state_;
};

std::vector<int64_t> Extents(const Shape& shape) {
  std::vector<int64_t> extents;
  for (int axis = 0; axis < shape.rank(); ++axis) extents.push_back(shape[axis]);
  return extents;
}

// Padded, so that the tensors begin aligned.
std::string MakeHeader(const std::vector<TensorSlice>& tensors) {
  Json header = Json::object(), slices = Json::object();
  for (const TensorSlice& tensor : tensors) {
    if (tensor.whole()) continue;
    slices[tensor.name] = {{"shape", Extents(tensor.shape)}, {"first", tensor.elements.begin}};
  }
  if (!slices.empty()) header["__metadata__"] = {{kSlicesField, slices.dump()}};
  int64_t offset = 0;
  for (const TensorSlice& tensor : tensors) {
    const int64_t count = tensor.elements.count();
    CHECK_EQ(tensor.data.count(), count) << tensor.name;
    const Shape shape = tensor.whole() ? tensor.shape : Shape{count};
    header[tensor.name] = {{"dtype", NameOf(tensor.data.dtype())},
                           {"shape", Extents(shape)},
                           {"data_offsets", {offset, offset + tensor.data.bytes()}}};
    offset += tensor.data.bytes();
  }
  std::string text = header.dump();
  text.append((8 - text.size() % 8) % 8, ' ');
  return text;
}

// `host` keeps the copy of what is on a device.
In ToHost(Context& ctx, Out data, Buffer& host) {
  if (data.device() == Device::kCpu) return data;
  host = Buffer(Device::kCpu, data.dtype(), data.shape());
  Copy(ctx, host, data);
  ctx.Synchronize();
  return host;
}

float FromFloat16(uint16_t bits) {
  const uint32_t exponent = bits >> 10 & 0x1f, mantissa = bits & 0x3ff;
  const float magnitude =
      exponent == 0
          ? std::ldexp(static_cast<float>(mantissa), -24)
          : std::bit_cast<float>((exponent == 0x1f ? 0xff : exponent + 112) << 23 | mantissa << 13);
  return bits >> 15 != 0 ? -magnitude : magnitude;
}

float ToFloat(float x) { return x; }
float ToFloat(double x) {
  constexpr double kMost = std::numeric_limits<float>::max();
  return std::abs(x) <= kMost ? static_cast<float>(x) : std::numeric_limits<float>::infinity();
}
struct Float16 {
  uint16_t bits;
};
float ToFloat(Float16 x) { return FromFloat16(x.bits); }
float ToFloat(BFloat16 x) { return ToFloat32(x); }

template <typename T>
std::vector<float> ReadAs(const StoredTensor& tensor) {
  std::vector<float> values(tensor.bytes / sizeof(T));
  for (size_t i = 0; i < values.size(); ++i) {
    T value;
    memcpy(&value, tensor.data + i * sizeof(T), sizeof value);
    values[i] = ToFloat(value);
    if (!std::isfinite(values[i])) {
      throw UserError(Sentence("element ", i, " is not a finite float32"));
    }
  }
  return values;
}

}  // namespace

FileDigest WriteSafetensors(Context& ctx, const std::string& path,
                            const std::vector<TensorSlice>& tensors) {
  const std::string text = MakeHeader(tensors);
  const uint64_t length = text.size();
  HashedFile file(path);
  file.Append(&length, sizeof length);
  file.Append(text.data(), text.size());
  for (const TensorSlice& tensor : tensors) {
    Buffer host;
    const In data = ToHost(ctx, tensor.data, host);
    file.Append(data.data(), data.bytes());
  }
  return file.Commit();
}

FileDigest DigestFile(const std::string& path) {
  const MappedFile file(path);
  const std::string_view bytes = file.bytes();
  return {static_cast<int64_t>(bytes.size()), XXH3_64bits(bytes.data(), bytes.size())};
}

bool StoredTensor::Has(DType type, const Shape& whole) const {
  return dtype == NameOf(type) && whole_shape == Extents(whole);
}

std::vector<float> ReadFloat32(const StoredTensor& tensor) {
  if (tensor.dtype == "F32") return ReadAs<float>(tensor);
  if (tensor.dtype == "F64") return ReadAs<double>(tensor);
  if (tensor.dtype == "F16") return ReadAs<Float16>(tensor);
  if (tensor.dtype == "BF16") return ReadAs<BFloat16>(tensor);
  throw UserError(
      Sentence("it is ", DescribeDtype(tensor.dtype), "; expected F32, F64, F16 or BF16"));
}

std::string StoredTensor::Describe() const { return DescribeTensor(dtype, shape); }

Safetensors::Safetensors(const std::string& path) : file_(path) {
  const std::string_view bytes = file_.bytes();
  if (bytes.starts_with("version https://git-lfs")) {
    throw UserError(path +
                    " is a Git LFS pointer, not the file that it stands for; expected a "
                    "safetensors file, which `git lfs pull` fetches");
  }
  try {
    uint64_t length = 0;
    if (bytes.size() >= sizeof length) memcpy(&length, bytes.data(), sizeof length);
    if (bytes.size() < sizeof length || length > bytes.size() - sizeof length) {
      throw UserError(Sentence("it has ", bytes.size(), " bytes, its header needs 8 and ", length));
    }
    const std::string_view data = bytes.substr(sizeof length + length);
    for (const TensorEntry& entry :
         ParseSafetensorsHeader(bytes.substr(sizeof length, length), std::ssize(data))) {
      tensors_[entry.name] = {
          entry.dtype,       entry.shape, data.data() + entry.begin, entry.end - entry.begin,
          entry.whole_shape, entry.first};
    }
  } catch (const UserError& error) {
    throw UserError(Sentence(path, " is not a whole safetensors file: ", error.what()));
  }
}

}  // namespace treeformer
