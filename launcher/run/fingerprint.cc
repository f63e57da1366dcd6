#include "launcher/run/fingerprint.h"

#include <xxhash.h>

#include <algorithm>
#include <fstream>
#include <map>

#include "dist/gather_text.h"
#include "dist/host_name.h"
#include "kernels/base/user_error.h"

namespace treeformer {

namespace {

// By rank; a double holds 32 bits exactly.
std::vector<uint64_t> AllGatherHash(dist::Communicator& communicator, uint64_t hash) {
  const std::vector<double> high = communicator.AllGather(static_cast<double>(hash >> 32));
  const std::vector<double> low = communicator.AllGather(static_cast<double>(hash & 0xffffffff));
  std::vector<uint64_t> hashes;
  for (size_t rank = 0; rank < high.size(); ++rank) {
    hashes.push_back(static_cast<uint64_t>(high[rank]) << 32 | static_cast<uint64_t>(low[rank]));
  }
  return hashes;
}

// The rank whose hash is the most frequent one; of several the lowest.
int FindUsual(const std::vector<uint64_t>& hashes) {
  std::map<uint64_t, int64_t> counts;
  for (uint64_t hash : hashes) ++counts[hash];
  const auto usual =
      std::ranges::max_element(hashes, {}, [&](uint64_t hash) { return counts.at(hash); });
  return static_cast<int>(usual - hashes.begin());
}

std::string DescribeDifference(const std::string& what, const std::vector<uint64_t>& hashes,
                               const std::vector<std::string>& hosts) {
  constexpr int kNamed = 8;
  const int usual = FindUsual(hashes);
  std::string ranks;
  int others = 0;
  for (int rank = 0; rank < static_cast<int>(hashes.size()); ++rank) {
    if (hashes[rank] == hashes[usual]) continue;
    if (++others > kNamed) continue;
    ranks += Sentence(ranks.empty() ? "" : ", ", "rank ", rank, " on ", hosts[rank]);
  }
  if (others > kNamed) ranks += Sentence(" and ", others - kNamed, " more");
  return Sentence(ranks, others == 1 ? " has another " : " have another ", what, " than rank ",
                  usual, " on ", hosts[usual]);
}

}  // namespace

uint64_t HashText(const std::string& text) { return XXH3_64bits(text.data(), text.size()); }

uint64_t HashTokenFile(const std::string& path) {
  constexpr int64_t kHeaderBytes = 64;
  std::string header(kHeaderBytes, 0);
  std::ifstream file(path, std::ios::binary);
  if (!file.read(header.data(), kHeaderBytes)) {
    throw UserError(Sentence(path, " cannot be read; expected a token file"));
  }
  return HashText(header);
}

uint64_t HashValues(Context& ctx, const Parameters& parameters) {
  constexpr int64_t kChunk = 1 << 24;  // elements on the way from a device
  const Out values = parameters.values();
  if (values.device() == Device::kCpu) return XXH3_64bits(values.data(), values.bytes());
  uint64_t hash = 0;
  const Buffer host(Device::kCpu, values.dtype(), {std::min(kChunk, values.count())});
  for (int64_t begin = 0; begin < values.count(); begin += kChunk) {
    const int64_t end = std::min(begin + kChunk, values.count());
    const Out part = host.view().Rows(0, end - begin);
    Copy(ctx, part, values.Rows(begin, end));
    ctx.Synchronize();
    hash = XXH3_64bits_withSeed(part.data(), part.bytes(), hash);
  }
  return hash;
}

std::string DescribeDifferences(dist::Communicator& communicator,
                                const std::vector<Fingerprint>& mine) {
  std::string differences;
  std::vector<std::string> hosts;
  for (const Fingerprint& fingerprint : mine) {
    const std::vector<uint64_t> hashes = AllGatherHash(communicator, fingerprint.hash);
    if (std::ranges::count(hashes, hashes[0]) == std::ssize(hashes)) continue;
    if (hosts.empty()) hosts = dist::AllGatherText(communicator, dist::HostName());
    differences +=
        (differences.empty() ? "" : "; ") + DescribeDifference(fingerprint.what, hashes, hosts);
  }
  return differences;
}

}  // namespace treeformer
