#include "core/parameters.h"

#include <algorithm>
#include <cmath>
#include <numbers>

#include "kernels/adamw.h"
#include "kernels/base/random.h"
#include "kernels/base/user_error.h"

namespace treeformer {

namespace {

// FNV-1a, 64 bits: which stream of random numbers a name has.
uint64_t HashName(const std::string& name) {
  uint64_t hash = 0xcbf29ce484222325;
  for (unsigned char c : name) hash = (hash ^ c) * 0x100000001b3;
  return hash;
}

// Box and Muller 1958: elements 2 i and 2 i + 1 are one pair.  Rounded to float whatever T is, so
// that a model in float64 starts from the values of the one in float32.
template <typename T>
void FillNormal(View<T> values, double deviation, const RandomKey& key) {
#pragma omp parallel for
  for (int64_t block = 0; block < (values.count() + 3) / 4; ++block) {
    const auto bits = RandomBlock(key, block);
    for (int i = 0; i < 4; ++i) {
      if (4 * block + i >= values.count()) break;
      const double u = (bits[i / 2 * 2] + 1.0) * 0x1p-32, v = bits[i / 2 * 2 + 1] * 0x1p-32;
      const double angle = 2 * std::numbers::pi * v;
      const double normal =
          std::sqrt(-2 * std::log(u)) * (i % 2 ? std::sin(angle) : std::cos(angle));
      values[4 * block + i] = static_cast<float>(deviation * normal);
    }
  }
}

template <typename T>
void FillSinusoid(View<T> values, float deviation, int64_t C) {
  for (int64_t i = 0; i < values.count(); ++i) {
    const int64_t position = i / C, c = i % C;
    const double angle = position / std::pow(10000.0, (c - c % 2) / static_cast<double>(C));
    values[i] = deviation * std::sqrt(2.0) * (c % 2 == 0 ? std::sin(angle) : std::cos(angle));
  }
}

template <typename T>
void Fill(View<T> values, const Parameter& parameter, const RandomKey& key) {
  const Initializer& initializer = parameter.initializer;
  if (initializer.kind == Initializer::kNormal) {
    FillNormal(values, initializer.value, key);
  } else if (initializer.kind == Initializer::kSinusoid) {
    FillSinusoid(values, initializer.value, parameter.shape[1]);
  } else {
    std::fill_n(values.data(), values.count(), static_cast<T>(initializer.value));
  }
}

}  // namespace

Parameters::Id Parameters::Declare(const std::string& name, const Shape& shape,
                                   Initializer initializer, Role role, int64_t layer,
                                   std::vector<int64_t> levels) {
  CHECK(values().shape().rank() == 0) << name << " is declared after Allocate";
  CHECK(Find(name) == nullptr) << name << " is declared twice";
  const Range range{end_, end_ + shape.count()};
  if (!levels.empty()) CHECK_EQ(levels.back(), shape[1]) << name;
  list_.push_back({.name = name,
                   .shape = shape,
                   .initializer = initializer,
                   .role = role,
                   .layer = layer,
                   .levels = std::move(levels),
                   .range = range});
  end_ = (range.end + kAlignment - 1) / kAlignment * kAlignment;
  return static_cast<Id>(list_.size()) - 1;
}

Parameters::Id Parameters::DeclareTied(const std::string& name, const Shape& shape,
                                       Initializer initializer, Role role) {
  if (const Parameter* found = Find(name)) {
    CHECK(found->tied && found->shape == shape) << name;
    return static_cast<Id>(found - list_.data());
  }
  const Id id = Declare(name, shape, initializer, role);
  list_[id].tied = true;
  return id;
}

void Parameters::Allocate(Context& ctx, DType dtype) {
  for (Kind kind : {kValues, kGradients, kRounded}) Allocate(ctx, dtype, kind);
}

void Parameters::Allocate(Context& ctx, DType dtype, Kind kind) {
  dtype_ = dtype;
  const bool rounds = dtype == DType::kBFloat16;
  if (kind == kRounded && !rounds) return;
  const bool single = rounds && kind != kRounded;
  buffers_[kind] = Buffer(ctx.device(), single ? DType::kFloat32 : dtype, {end_});
}

void Parameters::Initialize(Context& ctx, uint64_t seed, int draw) {
  for (const Parameter& parameter : list_) {
    const uint64_t hash =
        HashName(draw == 0 ? parameter.name : Sentence(parameter.name, ", draw ", draw));
    const RandomKey key{seed, static_cast<uint32_t>(hash), static_cast<uint32_t>(hash >> 32)};
    const Buffer host(Device::kCpu, values().dtype(), {parameter.range.count()});
    if (host.dtype() == DType::kFloat64) {
      Fill(host.as<double>(), parameter, key);
    } else {
      Fill(host.as<float>(), parameter, key);
    }
    Copy(ctx, Window(values(), parameter).Reshaped({parameter.range.count()}), host);
    ctx.Synchronize();  // before `host` goes
  }
  RoundValues(ctx);
}

In Parameters::value(Id id) const {
  return Window(rounded_values() ? rounded_values() : values(), list_.at(id));
}
In Parameters::exact_value(Id id) const { return Window(values(), list_.at(id)); }
Acc Parameters::gradient(Id id) const { return Window(gradients(), list_.at(id)); }

const Parameter* Parameters::Find(const std::string& name) const {
  const auto found =
      std::find_if(list_.begin(), list_.end(), [&](const Parameter& p) { return p.name == name; });
  return found == list_.end() ? nullptr : &*found;
}

Range Parameters::RangeOf(Id first, Id last) const {
  CHECK_LE(first, last);
  const auto begin_of = [this](Id id) {
    return id < static_cast<Id>(list_.size()) ? list_.at(id).range.begin : end_;
  };
  return {begin_of(first), begin_of(last)};
}

int64_t Parameters::CountScalars(Range range) const {
  int64_t count = 0;
  for (const Parameter& parameter : list_) {
    const int64_t first = parameter.range.begin;
    if (range.begin <= first && first < range.end) count += parameter.range.count();
  }
  return count;
}

void Parameters::ZeroGradients(Context& ctx) { Zero(ctx, gradients()); }

void Parameters::RoundValues(Context& ctx, Range range) const {
  if (!rounded_values()) return;
  RoundToBFloat16(ctx, rounded_values().Rows(range.begin, range.end),
                  values().Rows(range.begin, range.end));
}

std::vector<TensorSlice> Parameters::Tensors() const {
  std::vector<TensorSlice> tensors;
  for (const Parameter& parameter : list_) {
    tensors.push_back({parameter.name,
                       parameter.shape,
                       {0, parameter.shape.count()},
                       Window(values(), parameter)});
  }
  return tensors;
}

Out Parameters::Window(Out buffer, const Parameter& parameter) {
  return buffer.Rows(parameter.range.begin, parameter.range.end).Reshaped(parameter.shape);
}

}  // namespace treeformer
