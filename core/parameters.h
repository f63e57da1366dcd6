#pragma once

// Parameters: names -> ranges of ONE buffer.  The gradients are a buffer of the same layout, and so
// are the optimiser's moments (core/training/optimizer_state.h), so that reduce, shard, clip, step
// and checkpoint work on ranges.
//
// Declare all parameters (in the order of the forward pass), then Allocate once.  Every parameter
// begins at a multiple of kAlignment elements; the gaps are zero in all buffers, always.
//
// In a model of bfloat16 these buffers are float32, and another holds the values rounded, for the
// operations to read.  The optimiser writes it with the values; other code that changes values()
// calls RoundValues.
// Names are those of Hugging Face BERT where it has the parameter.

#include <cstdint>
#include <string>
#include <vector>

#include "core/tensor_slice.h"
#include "kernels/runtime/context.h"

namespace treeformer {

struct Initializer {
  enum Kind { kConstant, kNormal, kSinusoid } kind = kConstant;
  float value = 0;  // the constant, or the standard deviation around 0

  static Initializer Zeros() { return {kConstant, 0}; }
  static Initializer Constant(float value) { return {kConstant, value}; }
  static Initializer Normal(float deviation) { return {kNormal, deviation}; }
  // [positions, C]: sin and cos of p / 10000^(2i / C) in columns 2i and 2i + 1, scaled to
  // `deviation`.                              Vaswani et al. 2017, "Attention is all you need", 3.5
  static Initializer Sinusoid(float deviation) { return {kSinusoid, deviation}; }
};

// What a parameter does in its layer.
enum class Role {
  kWeight,      // a matrix or a table
  kBias,        // what is added to its product
  kNorm,        // gamma and beta of a layer norm
  kTreeWeight,  // hyperplanes of a tree
  kTreeBias,    // and their thresholds
  kMixture,     // alpha, TC's weights of the levels of a tree
};
inline bool IsOfTree(Role role) {
  return role == Role::kTreeWeight || role == Role::kTreeBias || role == Role::kMixture;
}
// Weight decay pulls on what multiplies, and on nothing that shifts, scales or mixes.
inline bool Decays(Role role) { return role == Role::kWeight || role == Role::kTreeWeight; }

constexpr int64_t kNoLayer = -1;  // of the embeddings, the final norm and the head

struct Parameter {
  std::string name;
  Shape shape;
  Initializer initializer;
  Role role = Role::kWeight;
  int64_t layer = kNoLayer;  // of the encoder, from 0
  // Where each level of a tree's [H, K, ...] ends along axis 1, the last at K.  Empty for other
  // parameters, which are one piece.
  std::vector<int64_t> levels;
  bool tied = false;  // several layers share it
  Range range;
};

class Parameters {
 public:
  static constexpr int64_t kAlignment = 16;  // elements

  using Id = int;
  Id Declare(const std::string& name, const Shape& shape, Initializer initializer, Role role,
             int64_t layer = kNoLayer, std::vector<int64_t> levels = {});
  // The same, of a parameter that several layers share: the first one declares it.
  Id DeclareTied(const std::string& name, const Shape& shape, Initializer initializer, Role role);

  // The buffers; kRounded only in a model of bfloat16.
  enum Kind { kValues, kGradients, kRounded, kKinds };
  // All of them, zero; then values by Initialize.
  void Allocate(Context& ctx, DType dtype);
  // One by one, for code that must not hold all of two models at once (core/training/carry.h).
  void Allocate(Context& ctx, DType dtype, Kind kind);
  void Free(Kind kind) { buffers_[kind] = Buffer(); }
  DType dtype() const { return dtype_; }  // of the model, once there is a buffer
  // Each value is a pure function of (seed, draw, name, index): the same for every layout, and for
  // every model in which a parameter of that name and shape occurs.
  void Initialize(Context& ctx, uint64_t seed, int draw = 0);

  In value(Id id) const;        // what the operations read
  In exact_value(Id id) const;  // not rounded: trees, which route and learn in float32
  Acc gradient(Id id) const;

  const std::vector<Parameter>& list() const { return list_; }
  const Parameter* Find(const std::string& name) const;  // null when there is none
  // The range of the parameters [first, last) with the gaps behind them: neighbours tile the
  // buffer.
  Range RangeOf(Id first, Id last) const;
  int64_t count() const { return end_; }  // elements, gaps included
  // Elements, gaps excluded: of all parameters, or of those that begin in `range`.
  int64_t CountScalars() const { return CountScalars({0, end_}); }
  int64_t CountScalars(Range range) const;

  Out buffer(Kind kind) const { return buffers_[kind].view(); }
  Out values() const { return buffer(kValues); }
  Out gradients() const { return buffer(kGradients); }
  Out rounded_values() const { return buffer(kRounded); }  // null unless bfloat16
  void ZeroGradients(Context& ctx);
  // Brings the rounded values up to date, if there are any; `range`: of what has changed.
  void RoundValues(Context& ctx, Range range) const;
  void RoundValues(Context& ctx) const { RoundValues(ctx, {0, count()}); }

  // The values by name, whole.
  std::vector<TensorSlice> Tensors() const;

  // One parameter's window on a buffer of this layout.
  static Out Window(Out buffer, const Parameter& parameter);

 private:
  std::vector<Parameter> list_;
  int64_t end_ = 0;
  DType dtype_ = DType::kFloat32;
  Buffer buffers_[kKinds];
};

}  // namespace treeformer
