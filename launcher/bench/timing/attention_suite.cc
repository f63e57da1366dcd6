#include "launcher/bench/timing/attention_suite.h"

#include <algorithm>
#include <iomanip>
#include <map>
#include <nlohmann/json.hpp>
#include <optional>

#include "core/attention/registry.h"
#include "core/attention/tc_attention_layer.h"
#include "core/attention/tf_attention_layer.h"
#include "kernels/base/user_error.h"
#include "launcher/bench/timing/attention_floor.h"
#include "launcher/bench/timing/attention_module.h"
#include "launcher/bench/timing/plain_attentions.h"
#include "launcher/bench/timing/timing.h"

namespace treeformer::bench {
namespace {

struct Row {
  std::string name;
  AttentionConfig attention;
  std::vector<float> biases;  // of the trees; empty: as initialised
  std::optional<TrainedAttention> trained;
};

AttentionConfig MakeConfig(const AttentionKind& kind, const TreeShape& shape,
                           TreeGradient gradient) {
  AttentionConfig attention;
  attention.kind = &kind;
  attention.shape = shape;
  attention.tree.gradient = gradient;
  return attention;
}

Row MakeTrainedRow(const TimingOptions& options) {
  const int64_t longest = *std::max_element(options.lengths.begin(), options.lengths.end());
  TrainedAttention trained = ReadTrainedAttention(kModuleWidth, kModuleHeads, longest);
  const AttentionConfig attention = trained.attention;
  return {Sentence(attention.kind->label, " h=", attention.shape.height(), " trained"),
          attention,
          {},
          std::move(trained)};
}

std::vector<Row> MakeRows(const TimingOptions& options) {
  const AttentionConfig tf = MakeConfig(kTfAttention, TreeShape::Binary(6), TreeGradient::kFlip);
  const AttentionConfig wide =
      MakeConfig(kTfAttention, TreeShape::Kary({100, 10}), TreeGradient::kFlip);
  const AttentionConfig tc = MakeConfig(kTcAttention, TreeShape::Binary(6), TreeGradient::kDense);
  std::vector<Row> rows;
  const auto add = [&](const std::string& name, const AttentionConfig& attention,
                       const std::function<std::vector<float>()>& biases) {
    if (name.find(options.rows) != std::string::npos) {
      rows.push_back({name, attention, biases(), {}});
    }
  };
  const auto none = [] { return std::vector<float>(); };
  for (const PlainAttention& plain : PlainAttentions()) {
    add(plain.name, plain.attention, none);
  }
  add("TF h=6 balanced", tf, [&] { return BalancedBiases(tf); });
  add("TF h=6 random", tf, none);
  add("TF h=6 density .3", tf, [&] { return BalancedBiases(tf, 0.3); });
  add("TF [100,10] balanced", wide, [&] { return BalancedBiases(wide); });
  add("TC h=6", tc, none);
  if (options.trained) {
    Row row = MakeTrainedRow(options);
    if (row.name.find(options.rows) != std::string::npos) rows.push_back(std::move(row));
  }
  return rows;
}

struct Measured {
  double seconds = 0, floor = 0, flops = 0, density = 1;
  int64_t peak_bytes = 0;
};

struct Passes {
  Measured forward, both, attention;  // attention: forward without the projections
};

Passes Measure(const Row& row, int64_t length, MatmulPrecision precision) {
  ResetPeakMemory();
  AttentionModule module(row.attention, length, precision);
  if (!row.biases.empty()) module.SetTreeBiases(row.biases);
  if (row.trained) module.Take(*row.trained);
  Passes passes;
  auto& [forward, both, attention] = passes;
  forward.seconds = MedianSeconds([&] { module.Forward(/*training=*/false); });
  forward.peak_bytes = PeakMemoryBytes();
  forward.density = both.density = attention.density = module.ReadStatistics().density;
  both.seconds = MedianSeconds([&] {
    module.Forward(/*training=*/true);
    module.Backward();
  });
  both.peak_bytes = PeakMemoryBytes();
  attention.seconds = MedianSeconds([&] { module.ForwardWithoutProjections(/*training=*/false); });
  attention.peak_bytes = PeakMemoryBytes();
  const Floor floor = AttentionFloor(module.config(), length, forward.density, precision);
  forward.floor = floor.forward;
  forward.flops = floor.flops_forward;
  both.floor = floor.forward + floor.backward;
  both.flops = floor.flops_forward + floor.flops_backward;
  attention.floor = floor.forward_attention;
  attention.flops = floor.flops_forward_attention;
  return passes;
}

class Table {
 public:
  Table(const TimingOptions& options, std::ostream& out) : out_(out), json_(options) {
    out_ << "self-attention module, width 768, 8 heads, batch 1, " << DescribeRun(options)
         << "; medians\n\n"
         << "     n  attention             pass                 ms   GFLOP/s  density  x floor"
            "  full / it  peak MiB\n";
  }

  void Add(const Row& row, int64_t length, const std::string& pass, const Measured& measured) {
    if (row.attention.kind == &kFullAttention) full_[{length, pass}] = measured.seconds;
    const auto full = full_.find({length, pass});
    out_ << std::setw(6) << length << "  " << std::left << std::setw(22) << row.name
         << std::setw(17) << pass << std::right << std::fixed << std::setprecision(2)
         << std::setw(8) << measured.seconds * 1e3 << std::setw(10) << std::setprecision(1)
         << measured.flops / measured.seconds * 1e-9 << std::setw(9) << std::setprecision(4)
         << measured.density << std::setw(9) << std::setprecision(2)
         << measured.seconds / measured.floor << std::setw(11);
    if (full == full_.end()) {
      out_ << "-";
    } else {
      out_ << full->second / measured.seconds;
    }
    out_ << std::setw(10) << measured.peak_bytes / (1 << 20) << "\n" << std::flush;
    json_.Write({{"length", length},
                 {"attention", row.name},
                 {"pass", pass},
                 {"seconds", measured.seconds},
                 {"floor_seconds", measured.floor},
                 {"density", measured.density},
                 {"flops", measured.flops},
                 {"peak_bytes", measured.peak_bytes}});
  }

 private:
  std::ostream& out_;
  JsonLines json_;
  std::map<std::pair<int64_t, std::string>, double> full_;
};

}  // namespace

void RunAttentionSuite(const TimingOptions& options, std::ostream& out) {
  const std::vector<Row> rows = MakeRows(options);
  if (rows.empty()) throw UserError(Sentence("--rows=", options.rows, ": no row has this in it"));
  Table table(options, out);
  for (const int64_t length : options.lengths) {
    for (const Row& row : rows) {
      const Passes passes = Measure(row, length, options.precision);
      table.Add(row, length, "forward", passes.forward);
      table.Add(row, length, "forward+backward", passes.both);
      table.Add(row, length, "attention only", passes.attention);
    }
  }
}

}  // namespace treeformer::bench
