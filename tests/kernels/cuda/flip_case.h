#pragma once

// What the tests of FLIP's gradient share: its operands, and the reference with the errors that are
// allowed.

#include "kernels/tree/route/flip.h"
#include "tests/kernels/cuda/route_case.h"

namespace treeformer::flip_case {

using namespace route_case;

constexpr float kTau = 16;

struct FlipCase {
  RouteCase rows;
  RouteResult<double> routed;
  std::vector<float> margin, gain, dweight, dbias;
  std::vector<BFloat16> dx;

  explicit FlipCase(const RouteCase& rows_)
      : rows(rows_),
        routed(Expected(rows)),
        margin(routed.margin.begin(), routed.margin.end()),
        gain(Random<float>(rows.rows().count(), 11)),
        dweight(Random<float>(rows.weight.size(), 12)),
        dbias(Random<float>(rows.bias.size(), 13)),
        dx(ToBFloat16(Random<float>(rows.x.size(), 14))) {}
};

// Sums of float32 with their exact value, the error they may carry and the number of terms.
struct Sums {
  std::vector<double> value, error, magnitude, terms;

  explicit Sums(const std::vector<double>& initial)
      : value(initial), error(initial.size()), magnitude(initial.size()), terms(initial.size()) {
    for (size_t i = 0; i < initial.size(); ++i) magnitude[i] = std::abs(initial[i]);
  }
  void Add(int64_t i, double term, double relative_error) {
    error[i] += relative_error * std::abs(term);
    magnitude[i] += std::abs(term);
    ++terms[i];
  }
  // Each sum is rounded, and so is each product.
  double Tolerance(int64_t i) const { return error[i] + (terms[i] + 2) * kRounding * magnitude[i]; }
};

struct Gradients {
  Sums dweight, dbias, dx;
};

inline Gradients ExpectedGradients(FlipCase& c) {
  RouteCase& r = c.rows;
  const int64_t P = r.shape.planes();
  Gradients g{Sums(Wide(c.dweight)), Sums(Wide(c.dbias)), Sums(ToDouble(c.dx))};
  const Shape rows{r.B, r.H, r.n}, weights{r.H, P, r.E}, x_shape{r.B, r.n, r.x_heads, r.E};
  std::vector<double> gain = Wide(c.gain), x = Wide(r.x), weight = Wide(r.weight);
  const FlipDecisions decisions{On(c.routed.own_plane, rows), On(c.routed.other_plane, rows),
                                On(c.routed.margin, rows)};
  reference::FlipBackward<double>(
      testing_util::HostContext(),
      {On(g.dweight.value, weights), On(g.dbias.value, {r.H, P}), On(g.dx.value, x_shape)},
      On(gain, rows), {On(x, x_shape), On(weight, weights), /*bias=*/{}, r.shape}, decisions, kTau);
  for (int64_t row = 0; row < r.rows().count(); ++row) {
    if (c.routed.own_plane[row] < 0) continue;
    const int64_t b = row / r.n / r.H, h = row / r.n % r.H, i = row % r.n;
    const int64_t x_row = ((b * r.n + i) * r.x_heads + (r.x_heads == 1 ? 0 : h)) * r.E;
    const double slope = FlipSlope<double>(c.routed.margin[row], kTau) * gain[row];
    // The exponent is rounded twice; exp, its sums and quotients take a dozen roundings.
    const double error = (4 * std::abs(c.routed.margin[row]) / kTau + 12) * kRounding;
    for (const int32_t plane : {c.routed.own_plane[row], c.routed.other_plane[row]}) {
      g.dbias.Add(h * P + plane, slope, error);
      for (int64_t d = 0; d < r.E; ++d) {
        g.dweight.Add((h * P + plane) * r.E + d, slope * r.x[x_row + d], error);
        g.dx.Add(x_row + d, slope * r.weight[(h * P + plane) * r.E + d], error);
      }
      if (r.shape.binary) break;  // the two are one
    }
  }
  return g;
}

inline void ExpectGradients(const FlipCase& result, const Gradients& expected) {
  ExpectNear(
      result.dweight, expected.dweight.value,
      [&](int64_t k) { return expected.dweight.Tolerance(k); }, "dweight");
  ExpectNear(
      result.dbias, expected.dbias.value, [&](int64_t k) { return expected.dbias.Tolerance(k); },
      "dbias");
  const auto tolerance = [&](int64_t k) {
    return expected.dx.Tolerance(k) + kBFloat16Tiny +
           kBFloat16Rounding * (std::abs(expected.dx.value[k]) + expected.dx.Tolerance(k));
  };
  ExpectNear(ToFloat(result.dx), expected.dx.value, tolerance, "dx");
}

}  // namespace treeformer::flip_case
