#include "dist/gpu_choice.h"

#include <algorithm>
#include <map>
#include <sstream>

#include "dist/gather_text.h"
#include "dist/host_name.h"
#include "kernels/base/user_error.h"

namespace treeformer::dist {
namespace {

std::string Count(int64_t count, const std::string& noun) {
  return Sentence(count, " ", noun, count == 1 ? "" : "s");
}

// All that `rank` sees is taken; `taker` has the first of it.
[[noreturn]] void Refuse(const std::vector<RankGpus>& ranks, int rank, int taker) {
  const RankGpus& mine = ranks[rank];
  const auto on_my_host = [&](const RankGpus& other) { return other.host == mine.host; };
  const auto sees_the_same = [&](const RankGpus& other) { return other.gpus == mine.gpus; };
  const int64_t on_host = std::ranges::count_if(ranks, on_my_host);
  const int64_t alike = std::ranges::count_if(
      ranks, [&](const RankGpus& other) { return on_my_host(other) && sees_the_same(other); });
  const int64_t gpus = static_cast<int64_t>(mine.gpus.size());
  if (on_host == alike && ranks[taker].host == mine.host) {
    throw UserError(Sentence(
        Count(on_host, "rank"), " on ", mine.host, " ask for a GPU each, but they see only ",
        Count(gpus, "GPU"), " (", mine.gpus[0], gpus > 1 ? ", ..." : "", "); start at most ", gpus,
        " on a machine (mpirun --map-by ppr:", gpus, ":node, srun --ntasks-per-node=", gpus,
        "), or let them see more (CUDA_VISIBLE_DEVICES, srun --gpus-per-node)"));
  }
  throw UserError(Sentence("rank ", taker, " on ", ranks[taker].host, " and rank ", rank, " on ",
                           mine.host, " would share GPU ", mine.gpus[0], ": rank ", rank,
                           " sees no other that is free; expected a GPU for each rank, for "
                           "example by srun --gpus-per-task=1, or CUDA_VISIBLE_DEVICES unset"));
}

// Neither a host's name nor a UUID has a line's end in it.
std::string Encode(const RankGpus& rank) {
  std::string text = rank.host + "\n";
  for (const std::string& gpu : rank.gpus) text += gpu + "\n";
  return text;
}

RankGpus Decode(const std::string& text) {
  std::istringstream lines(text);
  RankGpus rank;
  std::getline(lines, rank.host);
  for (std::string gpu; std::getline(lines, gpu);) rank.gpus.push_back(gpu);
  return rank;
}

}  // namespace

std::vector<int> ChooseGpus(const std::vector<RankGpus>& ranks) {
  std::vector<int> chosen;
  std::map<std::string, int> taker;  // of each GPU that is taken
  for (int rank = 0; rank < static_cast<int>(ranks.size()); ++rank) {
    const std::vector<std::string>& gpus = ranks[rank].gpus;
    const auto free = std::ranges::find_if(
        gpus, [&](const std::string& gpu) { return taker.find(gpu) == taker.end(); });
    if (free == gpus.end() && !gpus.empty()) Refuse(ranks, rank, taker.at(gpus[0]));
    if (free != gpus.end()) taker[*free] = rank;
    chosen.push_back(gpus.empty() ? 0 : static_cast<int>(free - gpus.begin()));
  }
  return chosen;
}

int ChooseGpu(Communicator& communicator, const RankGpus& mine) {
  std::vector<RankGpus> ranks;
  for (const std::string& text : AllGatherText(communicator, Encode(mine))) {
    ranks.push_back(Decode(text));
  }
  return ChooseGpus(ranks)[communicator.rank()];
}

int ChooseGpu(Communicator& communicator) {
  return ChooseGpu(communicator, {HostName(), Context::CudaDeviceUuids()});
}

}  // namespace treeformer::dist
