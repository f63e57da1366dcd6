#pragma once

// Fingerprints: what must be the same on every rank, as 64 bits.  Machines may hold other files, or
// compute another bit, and the ranks would drift apart without a word.

#include <string>
#include <vector>

#include "core/parameters.h"
#include "dist/communicator.h"

namespace treeformer {

struct Fingerprint {
  std::string what;  // "configuration"
  uint64_t hash = 0;
};

uint64_t HashText(const std::string& text);
// The hash of a token file's header, which holds the checksum of the rest.  UserError where there
// is none.
uint64_t HashTokenFile(const std::string& path);
uint64_t HashValues(Context& ctx, const Parameters& parameters);

// Empty when all ranks give the same; otherwise a sentence that names what differs, and the ranks
// with their machines that do not have what most of them have.  The same on every rank. Collective.
std::string DescribeDifferences(dist::Communicator& communicator,
                                const std::vector<Fingerprint>& mine);

}  // namespace treeformer
