#include "core/carry.h"

#include <algorithm>

namespace {

bool EndsWith(const std::string& name, const std::string& suffix) {
  return name.size() >= suffix.size() &&
         name.compare(name.size() - suffix.size(), suffix.size(), suffix) == 0;
}

bool IsTree(const Parameter& parameter) {
  return parameter.name.find("tree.") != std::string::npos;
}

// [H, K, ...] and [H, K', ...]: the same but for the number of entries per head.
bool DifferInLengthOnly(const Shape& a, const Shape& b) {
  if (a.rank() != b.rank() || a.rank() < 2) return false;
  for (int axis = 0; axis < a.rank(); ++axis) {
    if (axis != 1 && a[axis] != b[axis]) return false;
  }
  return true;
}

// Head h of [H, K, ...] as [K, entries].
Out Head(Out heads, int64_t h) {
  const int64_t K = heads.shape()[1];
  const Out head = heads.Rows(h, h + 1);
  return head.Reshaped({K, K > 0 ? head.count() / K : 0});
}

// Per head: the entries both have are copied; of the longer `to`, the rest stays, or becomes 0.
void CarryLeading(Context& ctx, Out to, Out from, bool zero_rest) {
  const int64_t common = std::min(to.shape()[1], from.shape()[1]);
  for (int64_t h = 0; h < to.shape()[0]; ++h) {
    const Out to_head = Head(to, h), from_head = Head(from, h);
    if (common > 0) Copy(ctx, to_head.Rows(0, common), from_head.Rows(0, common));
    if (zero_rest) Zero(ctx, to_head.Rows(common, to_head.shape()[0]));
  }
}

}  // namespace

void CarryParameters(Context& ctx, Parameters& to, const Parameters& from) {
  for (const Parameter& target : to.list()) {
    const Parameter* source = from.Find(target.name);
    if (source == nullptr) continue;  // a new tree
    const bool same = source->shape == target.shape;
    CHECK(same || (IsTree(target) && DifferInLengthOnly(source->shape, target.shape)))
        << target.name << ": cannot carry " << source->shape << " into " << target.shape;
    const bool zero_rest = EndsWith(target.name, ".alpha");
    const Out buffers[][2] = {{to.values(), from.values()},
                              {to.first_moments(), from.first_moments()},
                              {to.second_moments(), from.second_moments()}};
    for (const auto& [to_buffer, from_buffer] : buffers) {
      const Out to_window = Parameters::Window(to_buffer, target);
      const Out from_window = Parameters::Window(from_buffer, *source);
      if (same) {
        Copy(ctx, to_window, from_window);
      } else {
        CarryLeading(ctx, to_window, from_window, zero_rest);
      }
    }
  }
  to.RoundValues(ctx);
}
