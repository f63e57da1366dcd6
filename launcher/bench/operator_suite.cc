#include "launcher/bench/operator_suite.h"

#include <iomanip>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>
#include <tuple>

#include "kernels/user_error.h"
#include "launcher/bench/machine_rates.h"
#include "launcher/bench/operator_work.h"
#include "launcher/bench/timing.h"
#include "launcher/bench/tree_parts.h"

namespace bench {
namespace {

struct Measured {
  std::string pass;
  double seconds = 0;
  Work work;
  double useful_share = 1;  // of the scores that are computed; where the pass has any
  int64_t held_bytes = 0;
};

struct MeasuredRow {
  double density = 1;
  std::vector<Measured> passes;
};

// The times of a module's passes one after another.
class Passes {
 public:
  explicit Passes(AttentionModule& module) : module_(module) {}

  void Time(const std::string& pass, const std::function<void()>& work) {
    const double seconds = MedianSecondsOnStream(module_.context(), work);
    list_.push_back({pass, seconds, {}, 1, module_.HeldBytes()});
  }
  // The last one's work.
  void Set(const Work& work, double useful_share = 1) {
    list_.back().work = work;
    list_.back().useful_share = useful_share;
  }
  std::vector<Measured> list() const { return list_; }

 private:
  AttentionModule& module_;
  std::vector<Measured> list_;
};

class OperatorTable {
 public:
  OperatorTable(const TimingOptions& options, std::ostream& out) : out_(out), json_(options) {}

  void AddRates(const TimingOptions& options, const OperatorSuiteSizes& sizes,
                const MachineRates& rates) {
    out_ << "attention operators, " << DescribeRun(options) << "; medians\ncopy of "
         << (sizes.copy_bytes >> 20) << " MiB " << std::fixed << std::setprecision(0)
         << rates.copy_bytes_per_second * 1e-9 << " GB/s read and written; matrix product "
         << sizes.matmul << "^3 " << std::setprecision(1) << rates.matmul_flops_per_second * 1e-12
         << " TFLOP/s\nuseful: share of the computed scores; GB/s: of what must be moved\n\n"
         << "  B   H       n    e  attention             pass                          us"
         << "  TFLOP/s  useful     GB/s  density       MiB\n"
         << std::flush;
    json_.Write({{"copy_bytes_per_second", rates.copy_bytes_per_second},
                 {"matmul_flops_per_second", rates.matmul_flops_per_second}});
  }

  void Add(const ModuleSize& size, const std::string& name, const MeasuredRow& row) {
    for (const Measured& measured : row.passes) Add(size, name, row.density, measured);
  }

  void LeaveOut(const ModuleSize& size, const std::string& name, const std::string& why) {
    PrintProblem(size, name);
    out_ << "left out: " << why << "\n" << std::flush;
  }

 private:
  void PrintProblem(const ModuleSize& size, const std::string& name) {
    out_ << std::setw(3) << size.sequences << std::setw(4) << size.heads << std::setw(8)
         << size.length << std::setw(5) << size.head_width << "  " << std::left << std::setw(22)
         << name << std::right;
  }

  void PrintRate(double amount, double seconds, int width) {
    if (amount > 0) {
      out_ << std::setw(width) << amount / seconds;
    } else {
      out_ << std::setw(width) << "-";
    }
  }

  void Add(const ModuleSize& size, const std::string& name, double density,
           const Measured& measured) {
    PrintProblem(size, name);
    out_ << std::left << std::setw(22) << measured.pass << std::right << std::fixed
         << std::setprecision(1) << std::setw(10) << measured.seconds * 1e6;
    PrintRate(measured.work.flops * 1e-12, measured.seconds, 9);
    out_ << std::setprecision(2) << std::setw(8) << measured.useful_share << std::setprecision(0);
    PrintRate(measured.work.bytes * 1e-9, measured.seconds, 9);
    out_ << std::setprecision(4) << std::setw(9) << density << std::setw(10)
         << (measured.held_bytes >> 20) << "\n"
         << std::flush;
    json_.Write({{"sequences", size.sequences},
                 {"heads", size.heads},
                 {"head_width", size.head_width},
                 {"length", size.length},
                 {"attention", name},
                 {"pass", measured.pass},
                 {"seconds", measured.seconds},
                 {"density", density},
                 {"flops", measured.work.flops},
                 {"bytes", measured.work.bytes},
                 {"useful_share", measured.useful_share},
                 {"held_bytes", measured.held_bytes}});
  }

  std::ostream& out_;
  JsonLines json_;
};

// The thresholds of each tree and width, made once.
class Thresholds {
 public:
  Thresholds(const TimingOptions& options, int64_t sample) : options_(options), sample_(sample) {}

  const std::vector<float>& Of(const OperatorRow& row, const ModuleSize& size) {
    const auto key = std::make_tuple(row.name, size.heads, size.head_width);
    const auto found = made_.find(key);
    if (found != made_.end()) return found->second;
    ModuleSize sample = size;
    sample.sequences = 1;
    sample.length = sample_;
    return made_[key] = BalancedBiases(MakeContext(options_), row.attention, sample, row.density);
  }

 private:
  const TimingOptions& options_;
  const int64_t sample_;
  std::map<std::tuple<std::string, int64_t, int64_t>, std::vector<float>> made_;
};

MeasuredRow Measure(AttentionModule& module, const ModuleSize& size,
                    const AttentionConfig& attention) {
  MeasuredRow row;
  module.ForwardWithoutProjections(/*training=*/true);  // makes queries and keys
  std::optional<TreeParts> parts;
  TilePairs pairs{1, 1};
  if (!module.trees().empty()) {
    parts.emplace(module);
    parts->Route();
    pairs = parts->CountPairs();
    row.density = static_cast<double>(pairs.useful) /
                  static_cast<double>(size.rows() * size.length * size.heads);
  }
  const OperatorWork work = WorkOf(size, attention, row.density, SizeOf(module.queries().dtype()));
  const bool scores = attention.kind == AttentionKind::kTf;
  const double share =
      scores ? static_cast<double>(pairs.useful) / static_cast<double>(pairs.computed) : 1;

  Passes passes(module);
  if (parts) {
    passes.Time("route", [&] { parts->Route(); });
    passes.Set(work.route);
    passes.Time("sort", [&] { parts->Sort(); });
    parts.reset();
  }
  passes.Time("forward", [&] { module.ForwardWithoutProjections(/*training=*/false); });
  passes.Set(work.forward, share);
  module.ForwardWithoutProjections(/*training=*/true);
  passes.Time("backward", [&] { module.BackwardWithoutProjections(); });
  passes.Set(work.backward, share);
  passes.Time("forward+backward", [&] {
    module.ForwardWithoutProjections(/*training=*/true);
    module.BackwardWithoutProjections();
  });
  passes.Set(work.forward + work.backward, share);
  passes.Time("layer forward", [&] { module.Forward(/*training=*/false); });
  passes.Set(work.layer_forward, share);
  passes.Time("layer forward+backward", [&] {
    module.Forward(/*training=*/true);
    module.Backward();
  });
  passes.Set(work.layer_forward + work.layer_backward, share);
  row.passes = passes.list();
  return row;
}

}  // namespace

void RunOperatorSuite(const TimingOptions& options, const std::vector<OperatorProblem>& problems,
                      const OperatorSuiteSizes& sizes, std::ostream& out) {
  OperatorTable table(options, out);
  {
    Context ctx = MakeContext(options);
    table.AddRates(options, sizes, MeasureMachineRates(ctx, sizes.copy_bytes, sizes.matmul));
  }
  Thresholds thresholds(options, sizes.sample);
  bool any = false;
  for (const OperatorProblem& problem : problems) {
    for (const OperatorRow& row : problem.rows) {
      if (row.name.find(options.rows) == std::string::npos) continue;
      any = true;
      try {
        const std::vector<float>* biases = nullptr;
        if (row.spread) biases = &thresholds.Of(row, problem.size);
        AttentionModule module(MakeContext(options), row.attention, problem.size);
        if (biases != nullptr) module.SetTreeBiases(*biases);
        table.Add(problem.size, row.name, Measure(module, problem.size, row.attention));
      } catch (const UserError& error) {
        table.LeaveOut(problem.size, row.name, error.what());
      }
    }
  }
  if (!any) throw UserError(Sentence("--rows=", options.rows, ": no row has this in it"));
}

}  // namespace bench
