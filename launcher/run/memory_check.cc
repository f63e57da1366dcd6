#include "launcher/run/memory_check.h"

#include <algorithm>
#include <fstream>
#include <limits>
#include <sstream>

#include "kernels/base/control_groups.h"
#include "kernels/base/user_error.h"
#include "launcher/run/plan_report.h"
#include "launcher/run/run_config.h"

namespace treeformer {

namespace {

constexpr double kUnlimited = std::numeric_limits<double>::infinity();
const char* const kAdvice = "; more training.micro_batches, or a smaller model, needs less";

// The number in a file of one; a file that is missing, or says "max", limits nothing.
double ReadNumber(const std::string& path) {
  std::ifstream file(path);
  double number = kUnlimited;
  return file >> number ? number : kUnlimited;
}

// Bytes of a line "MemTotal:  16384 kB".
double ReadMemInfo(const std::string& root, const std::string& name) {
  std::ifstream file(root + "/proc/meminfo");
  for (std::string line; std::getline(file, line);) {
    std::istringstream words(line);
    std::string first;
    double kibibytes = 0;
    if (words >> first >> kibibytes && first == name + ":") return 1024 * kibibytes;
  }
  return kUnlimited;
}

// The least limit of the process's control groups and of those that they lie in.
double ReadCgroupLimit(const std::string& root) {
  double limit = kUnlimited;
  const auto visit = [&](const std::string& folder, bool v2) {
    limit = std::min(limit, ReadNumber(folder + (v2 ? "/memory.max" : "/memory.limit_in_bytes")));
  };
  ForEachControlGroup("memory", root + "/proc/self/cgroup", root + "/sys/fs/cgroup", visit);
  return limit;
}

}  // namespace

StageMemory LargestStage(const BootstrapPlan& plan, const BatchShape& micro_batch, DType dtype) {
  StageMemory largest;
  for (const BootstrapStage& stage : plan.stages()) {
    const MemoryCost cost = CountMemory(plan.ModelOfStage(stage), micro_batch, dtype);
    if (cost.Total() > largest.cost.Total()) largest = {stage.index, cost};
  }
  return largest;
}

HostMemory ReadHostMemory(const std::string& root) {
  const double cgroup = ReadCgroupLimit(root);
  const double total = std::min(cgroup, ReadMemInfo(root, "MemTotal"));
  const double swap = ReadMemInfo(root, "SwapTotal");
  return {total + (swap == kUnlimited ? 0 : swap),
          std::min(cgroup, ReadMemInfo(root, "MemAvailable"))};
}

void RequireMemory(Context& ctx, const dist::Communicator& communicator, const BootstrapPlan& plan,
                   const BatchShape& micro_batch, Progress& progress) {
  const StageMemory largest = LargestStage(plan, micro_batch, ActivationDType(ctx.device()));
  const double need = largest.cost.Total();
  const std::string stage = Sentence("stage ", largest.index, " of the plan needs ");
  if (ctx.device() == Device::kCuda) {
    const double free = static_cast<double>(runtime::FreeCudaMemory());
    if (need <= free) return;
    throw UserError(Sentence(stage, DescribeMemory(largest.cost),
                             ", and of the GPU's memory are free ", FormatBytes(free), kAdvice));
  }
  const int64_t ranks = communicator.local_size();
  const double all = need * static_cast<double>(ranks);
  const std::string needs =
      Sentence(stage, DescribeMemory(largest.cost), " on each of this machine's ", ranks,
               ranks == 1 ? " rank" : " ranks");
  const HostMemory memory = ReadHostMemory();
  if (all > memory.limit) {
    throw UserError(
        Sentence(needs, ", and it has ", FormatBytes(memory.limit), " in all", kAdvice));
  }
  if (all > memory.available) {
    progress.Line(Sentence("memory: ", needs, ", and of its memory are free now ",
                           FormatBytes(memory.available), kAdvice));
  }
}

}  // namespace treeformer
