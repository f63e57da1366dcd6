#include "core/checkpoint/safetensors_header.h"

#include <algorithm>
#include <limits>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <tuple>

#include "core/checkpoint/strict_json.h"
#include "kernels/base/user_error.h"

namespace treeformer {

const char* const kSlicesField = "treeformer.slices";

namespace {

using nlohmann::json;

const std::map<std::string_view, int> kBits = {
    {"F8_E5M2FNUZ", 8}, {"F8_E4M3FNUZ", 8}, {"BOOL", 8},    {"U8", 8},   {"I8", 8},
    {"F8_E5M2", 8},     {"F8_E4M3", 8},     {"F8_E8M0", 8}, {"F4", 4},   {"F6_E2M3", 6},
    {"F6_E3M2", 6},     {"I16", 16},        {"U16", 16},    {"F16", 16}, {"BF16", 16},
    {"I32", 32},        {"U32", 32},        {"F32", 32},    {"I64", 64}, {"U64", 64},
    {"F64", 64},        {"C64", 64},
};

// A list of numbers >= 0.
std::vector<int64_t> Counts(const json& entry, const char* field) {
  const auto list = entry.find(field);
  if (list == entry.end() || !list->is_array()) throw UserError(Sentence("no list ", field));
  std::vector<int64_t> counts;
  for (const json& count : *list) {
    constexpr uint64_t kMost = std::numeric_limits<int64_t>::max();
    if (!count.is_number_unsigned() || count.get<uint64_t>() > kMost) {
      throw UserError(Sentence(field, " has ", count.dump(), ", expected integers from 0 to 2^63"));
    }
    counts.push_back(count.get<int64_t>());
  }
  return counts;
}

// `count` times the extents; false where int64 does not hold it.
bool Multiply(int64_t& count, const std::vector<int64_t>& shape) {
  return std::all_of(shape.begin(), shape.end(), [&](int64_t extent) {
    return !__builtin_mul_overflow(count, extent, &count);
  });
}

// Bytes of a tensor, empty for an unknown type; overflow is the user's.
std::optional<int64_t> CountBytes(const TensorEntry& tensor) {
  const auto bits = kBits.find(tensor.dtype);
  if (bits == kBits.end()) return std::nullopt;
  int64_t count = bits->second;
  if (!Multiply(count, tensor.shape)) {
    throw UserError(DescribeTensor(tensor.dtype, tensor.shape) + " has more than 2^63 bits");
  }
  if (count % 8 != 0) {
    throw UserError(DescribeTensor(tensor.dtype, tensor.shape) + " is no whole number of bytes");
  }
  return count / 8;
}

TensorEntry ParseEntry(const std::string& name, const json& entry) {
  if (!entry.is_object()) throw UserError("not an object");
  const auto dtype = entry.find("dtype");
  if (dtype == entry.end() || !dtype->is_string()) throw UserError("no text dtype");
  const std::vector<int64_t> offsets = Counts(entry, "data_offsets");
  if (offsets.size() != 2) throw UserError("data_offsets are not two");
  TensorEntry tensor{name, dtype->get<std::string>(), Counts(entry, "shape"), offsets[0],
                     offsets[1]};
  tensor.whole_shape = tensor.shape;
  const std::optional<int64_t> needed = CountBytes(tensor);
  const int64_t bytes = needed.value_or(std::max<int64_t>(0, tensor.end - tensor.begin));
  if (tensor.end < tensor.begin || tensor.end - tensor.begin != bytes) {
    throw UserError(Sentence(DescribeTensor(tensor.dtype, tensor.shape), " needs ", bytes,
                             " bytes, data_offsets are [", tensor.begin, ", ", tensor.end, "]"));
  }
  return tensor;
}

void RequireTexts(const json& metadata) {
  const bool good =
      metadata.is_object() &&
      std::all_of(metadata.begin(), metadata.end(), [](const json& v) { return v.is_string(); });
  if (!good) throw UserError("__metadata__ is not an object of texts");
}

// What the metadata say of slices.
void SetSlices(const json& metadata, std::vector<TensorEntry>& tensors) {
  const auto text = metadata.find(kSlicesField);
  if (text == metadata.end()) return;
  const json slices = ParseStrictJson(text->get_ref<const std::string&>(), /*most_depth=*/3);
  if (!slices.is_object()) throw UserError(Sentence(kSlicesField, " is not an object"));
  for (const auto& [name, slice] : slices.items()) {
    const auto tensor = std::ranges::find(tensors, name, &TensorEntry::name);
    if (tensor == tensors.end()) {
      throw UserError(Sentence("a slice of tensor ", name, ", which is not there"));
    }
    if (!slice.is_object()) throw UserError(Sentence("the slice of ", name, " is not an object"));
    const json list = {{"first", json::array({slice.value("first", json())})}};
    const int64_t first = Counts(list, "first").front();
    const std::vector<int64_t> whole_shape = Counts(slice, "shape");
    int64_t count = 1, end = 0;
    const bool good = tensor->shape.size() == 1 && Multiply(count, whole_shape) &&
                      !__builtin_add_overflow(first, tensor->shape[0], &end) && end <= count;
    if (!good) {
      throw UserError(Sentence("tensor ", name, ": ", DescribeTensor(tensor->dtype, tensor->shape),
                               " is no slice of ", json(whole_shape).dump(), " from element ",
                               first));
    }
    tensor->whole_shape = whole_shape;
    tensor->first = first;
  }
}

// Tensors in the order of their bytes tile [0, data_bytes).
void RequireTiling(const std::vector<TensorEntry>& tensors, int64_t data_bytes) {
  int64_t end = 0;
  for (const TensorEntry& tensor : tensors) {
    if (tensor.begin != end) {
      throw UserError(Sentence("tensor ", tensor.name, " begins at byte ", tensor.begin,
                               " of the data, expected ", end, ", where the one before ends"));
    }
    end = tensor.end;
  }
  if (end != data_bytes) {
    throw UserError(Sentence("it has ", data_bytes, " bytes of data, its tensors need ", end));
  }
}

}  // namespace

std::string DescribeTensor(std::string_view dtype, const std::vector<int64_t>& shape) {
  constexpr size_t kMost = 8;
  if (shape.size() <= kMost) return DescribeDtype(dtype) + " " + json(shape).dump();
  std::string list = json(std::vector<int64_t>(shape.begin(), shape.begin() + kMost)).dump();
  list.pop_back();
  return Sentence(DescribeDtype(dtype), " ", list, ",...] (", shape.size(), " extents)");
}

std::string DescribeDtype(std::string_view dtype) {
  constexpr size_t kMost = 24;
  if (kBits.contains(dtype)) return std::string(dtype);
  const std::string quoted = json(dtype).dump(-1, ' ', /*ensure_ascii=*/true);
  return quoted.size() <= kMost + 2 ? quoted : quoted.substr(0, kMost) + "...\"";
}

std::vector<TensorEntry> ParseSafetensorsHeader(std::string_view header, int64_t data_bytes) {
  if (!header.starts_with('{')) throw UserError("its header does not begin with {");
  const json entries = ParseStrictJson(header, /*most_depth=*/3);
  std::vector<TensorEntry> tensors;
  json metadata = json::object();
  for (const auto& [name, entry] : entries.items()) {
    if (name == "__metadata__") {
      RequireTexts(entry);
      metadata = entry;
      continue;
    }
    try {
      tensors.push_back(ParseEntry(name, entry));
    } catch (const UserError& error) {
      throw UserError(Sentence("tensor ", name, ": ", error.what()));
    }
  }
  std::sort(tensors.begin(), tensors.end(), [](const auto& a, const auto& b) {
    return std::tie(a.begin, a.end) < std::tie(b.begin, b.end);
  });
  RequireTiling(tensors, data_bytes);
  SetSlices(metadata, tensors);
  return tensors;
}

}  // namespace treeformer
