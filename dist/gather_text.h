#pragma once

#include <string>
#include <vector>

#include "dist/communicator.h"

namespace dist {

// Every rank's text, in rank order; without zero bytes.  Collective.
std::vector<std::string> AllGatherText(Communicator& communicator, const std::string& text);

}  // namespace dist
