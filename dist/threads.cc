#include "dist/threads.h"

#include <omp.h>
#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <functional>
#include <string>

#include "dist/host_name.h"
#include "kernels/base/usable_cores.h"
#include "kernels/runtime/check.h"

namespace treeformer::dist {
namespace {

// The machine's name and the cores this process may run on, e.g. "node7:0,1,2,".
std::string MachineAndCores(const cpu_set_t& cores) {
  std::string text = HostName() + ":";
  for (int core = 0; core < CPU_SETSIZE; ++core) {
    if (CPU_ISSET(core, &cores)) text += std::to_string(core) + ",";
  }
  return text;
}

}  // namespace

int ThreadsPerRank(int cores, int sharers, std::optional<int> quota, int local_ranks) {
  const int share = cores / sharers;
  return std::max(1, quota ? std::min(share, *quota / local_ranks) : share);
}

int ConfigureThreads(Communicator& communicator) {
  cpu_set_t mask;
  CPU_ZERO(&mask);
  CHECK_EQ(sched_getaffinity(0, sizeof(mask), &mask), 0);
  const int cores = CPU_COUNT(&mask);
  const double mine = static_cast<double>(std::hash<std::string>()(MachineAndCores(mask)));
  const std::vector<double> all = communicator.AllGather(mine);
  const int sharers = static_cast<int>(std::count(all.begin(), all.end(), mine));

  const bool set_by_user = std::getenv("OMP_NUM_THREADS") != nullptr;
  const std::optional<int> quota = QuotaCores();
  if (!set_by_user) {
    omp_set_num_threads(ThreadsPerRank(cores, sharers, quota, communicator.local_size()));
  }

  const int machine_cores = static_cast<int>(sysconf(_SC_NPROCESSORS_ONLN));
  const int used_cores = cores * communicator.local_size() / sharers;
  if (used_cores < machine_cores && communicator.local_rank() == 0 && !set_by_user) {
    LOG(WARNING) << "the ranks of this machine may use " << used_cores << " of its "
                 << machine_cores << " cores; where mpirun bound them, --bind-to none frees all";
  }
  return omp_get_max_threads();
}

}  // namespace treeformer::dist
