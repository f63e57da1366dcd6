#pragma once

// The order in which a rank works on the micro-batches of a step, as a list of actions.  It is
// index arithmetic: it knows nothing of models (Narayanan et al. 2021; Qi et al. 2023 for the
// backward pass in two parts).

#include <vector>

namespace treeformer::dist {

enum class Verb {
  kForward,          // F
  kBackward,         // B: gradients of the input and of the weights
  kBackwardInput,    // the first part of B
  kBackwardWeights,  // the second part of B, at any later time
};

struct Action {
  Verb verb;
  int micro = 0;

  friend bool operator==(const Action&, const Action&) = default;
};

// F0 B0 F1 B1 ...: one micro-batch in flight, which is all that one rank needs.
std::vector<Action> OneByOne(int micro_batches);
// F0 F1 .. F(k-1), then B0 Fk B1 F(k+1) ..: k in flight, the backward passes in the same order.
std::vector<Action> InFlight(int micro_batches, int in_flight);

}  // namespace treeformer::dist
