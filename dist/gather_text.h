#pragma once

#include <string>
#include <vector>

#include "dist/communicator.h"

namespace treeformer::dist {

// Every rank's text, in rank order; without zero bytes.  Collective.
std::vector<std::string> AllGatherText(Communicator& communicator, const std::string& text);

}  // namespace treeformer::dist
