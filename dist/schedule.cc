#include "dist/schedule.h"

#include <algorithm>

namespace treeformer::dist {

std::vector<Action> OneByOne(int micro_batches) { return InFlight(micro_batches, 1); }

std::vector<Action> InFlight(int micro_batches, int in_flight) {
  std::vector<Action> actions;
  int forward = 0;
  for (int backward = 0; backward < micro_batches; ++backward) {
    while (forward < std::min(micro_batches, backward + in_flight)) {
      actions.push_back({Verb::kForward, forward++});
    }
    actions.push_back({Verb::kBackward, backward});
  }
  return actions;
}

}  // namespace treeformer::dist
