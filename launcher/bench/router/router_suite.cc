#include "launcher/bench/router/router_suite.h"

#include <chrono>
#include <cmath>
#include <iomanip>
#include <iostream>
#include <vector>

#include "core/attention/tc_attention_layer.h"
#include "core/attention/tf_attention_layer.h"
#include "kernels/base/user_error.h"
#include "launcher/bench/router/matching_toy.h"
#include "launcher/bench/router/task_training.h"

namespace treeformer::bench {
namespace {

struct Row {
  std::string name;
  AttentionConfig attention;
};

AttentionConfig Tree(int height, TreeGradient gradient) {
  AttentionConfig attention;
  attention.kind = &kTfAttention;
  attention.shape = TreeShape::Binary(height);
  attention.tree.gradient = gradient;
  return attention;
}

AttentionConfig Flip(int height, FlipChoice choice) {
  AttentionConfig attention = Tree(height, TreeGradient::kFlip);
  attention.tree.flip_choice = choice;
  return attention;
}

AttentionConfig Dense(int height, DenseTerms terms, float clamp) {
  AttentionConfig attention = Tree(height, TreeGradient::kDense);
  attention.tree.dense = {terms, clamp, /*causal=*/false};
  return attention;
}

// TC with the gradient that the design found to be its best.
AttentionConfig Tc(int height, TreeGradient gradient) {
  AttentionConfig attention = Tree(height, gradient);
  attention.kind = &kTcAttention;
  return attention;
}

std::vector<Row> TreeRows(int height) {
  return {{"frozen random trees", Tree(height, TreeGradient::kNone)},
          {"in-leaf only", Dense(height, DenseTerms::kInLeaf, 50)},
          {"DENSE, clamp 10", Dense(height, DenseTerms::kClamped, 10)},
          {"DENSE, bounded terms", Dense(height, DenseTerms::kBounded, 50)},
          {"FLIP, smallest margin", Flip(height, FlipChoice::kMinMargin)},
          {"FLIP, random level", Flip(height, FlipChoice::kRandom)}};
}

ModelConfig SmallModel(int64_t layers, int64_t width, int64_t heads) {
  ModelConfig model;
  model.layers = layers;
  model.width = width;
  model.heads = heads;
  model.feed_forward = 4 * width;
  model.dropout = model.attention_dropout = 0;
  model.initial_deviation = 1 / std::sqrt(static_cast<float>(width));
  model.attention.resize(layers);
  return model;
}

class Table {
 public:
  // Rows without `wanted` in their name are passed over.
  Table(std::ostream& out, const std::string& title, const std::string& wanted)
      : out_(out), wanted_(wanted) {
    out_ << "\n"
         << title << "\n"
         << std::left << std::setw(34) << "" << std::right << std::setw(9) << "loss"
         << std::setw(10) << "accuracy"
         << "  density per layer\n";
  }

  template <typename Train>
  void Add(const std::string& name, const Train& train) {
    if (name.find(wanted_) == std::string::npos) return;
    const auto start = std::chrono::steady_clock::now();
    const TaskResult result = train([&name](int64_t step) {
      if (step % 100 == 0) std::cerr << "\r" << name << ": step " << step << "   " << std::flush;
    });
    const std::chrono::duration<double> seconds = std::chrono::steady_clock::now() - start;
    std::cerr << "\r" << std::string(60, ' ') << "\r";
    out_ << std::left << std::setw(34) << name << std::right << std::fixed << std::setprecision(3)
         << std::setw(9) << result.loss << std::setw(10) << result.accuracy << " ";
    out_ << std::setprecision(2);
    for (double density : result.density) out_ << " " << density;
    out_ << "   (" << std::setprecision(0) << seconds.count() << " s)\n" << std::flush;
  }

 private:
  std::ostream& out_;
  const std::string wanted_;
};

// 64 pairs, 64 queries, n = 128; 2 layers, d = 64, 2 heads; batch 16; AdamW 2e-3; from random.
void RunRecall(const RouterSuiteOptions& options, std::ostream& out) {
  constexpr double kLearningRate = 2e-3;
  const auto task = MakeRecallTask(/*sequences=*/16, options.seed);
  const ModelConfig model = SmallModel(/*layers=*/2, /*width=*/64, /*heads=*/2);
  auto train = [&](const AttentionConfig& attention) {
    return [&, attention](const std::function<void(int64_t)>& progress) {
      ModelConfig config = model;
      config.attention.assign(config.layers, attention);
      TaskTraining training(*task, config, options.seed);
      training.Train(options.steps, kLearningRate, progress);
      return training.Evaluate();
    };
  };
  Table table(out, Sentence("recall, ", options.steps, " steps from random initialisation"),
              options.rows);
  table.Add("full attention", train(AttentionConfig()));
  for (int height : {3, 5}) {
    for (const Row& row : TreeRows(height)) {
      table.Add(Sentence("h = ", height, "  ", row.name), train(row.attention));
    }
  }
  for (int height : {5, 7}) {
    table.Add(Sentence("h = ", height, "  TC, DENSE"), train(Tc(height, TreeGradient::kDense)));
    table.Add(Sentence("h = ", height, "  TC, FLIP"), train(Tc(height, TreeGradient::kFlip)));
  }
}

// Character MLM: 3 layers, d = 128, 4 heads, n = 128; a trained full-attention model turns into
// trees of height 3 at once, then trains on.
void RunCharacters(const RouterSuiteOptions& options, std::ostream& out) {
  constexpr double kLearningRate = 2e-3;
  constexpr int kHeight = 3;
  const auto task = MakeCharacterTask(options.text, /*sequences=*/16, /*length=*/128, options.seed);
  ModelConfig model = SmallModel(/*layers=*/3, /*width=*/128, /*heads=*/4);
  model.sinusoidal_positions = true;  // or it stays with the frequencies of letters for long
  TaskTraining full(*task, model, options.seed);
  Table table(out,
              Sentence("character MLM, ", options.steps, " steps full, then ", options.steps,
                       " steps as below (h = ", kHeight, ")"),
              options.rows);
  full.Train(options.steps, kLearningRate, [](int64_t) {});
  table.Add("full attention, before",
            [&](const std::function<void(int64_t)>&) { return full.Evaluate(); });
  auto add = [&](const std::string& name, const AttentionConfig& attention) {
    table.Add(name, [&](const std::function<void(int64_t)>& progress) {
      TaskTraining training = full.Copy();
      training.SetAttention(std::vector<AttentionConfig>(3, attention));
      training.Train(options.steps, kLearningRate, progress);
      return training.Evaluate();
    });
  };
  add("full attention, as many steps more", AttentionConfig());
  for (const Row& row : TreeRows(kHeight)) add(row.name, row.attention);
  table.Add("FLIP, layer by layer", [&](const std::function<void(int64_t)>& progress) {
    TaskTraining training = full.Copy();
    std::vector<AttentionConfig> attention(3);
    for (int layer = 2; layer >= 0; --layer) {
      attention[layer] = Flip(kHeight, FlipChoice::kMinMargin);
      training.SetAttention(attention);
      training.Train(options.steps / 3, kLearningRate, progress);
    }
    return training.Evaluate();
  });
  add("TC, DENSE, h = 5", Tc(5, TreeGradient::kDense));
}

// One head, h = 4, n = 64, e = 16: queries are rotated keys with noise.
void RunMatching(const RouterSuiteOptions& options, std::ostream& out) {
  constexpr int kHeight = 4;
  const int64_t steps = options.steps * 8 / 3;
  Table table(out, Sentence("matching, ", steps, " steps: mean square error, recall, density"),
              options.rows);
  auto add = [&](const std::string& name, AttentionConfig attention, float balance_weight) {
    attention.tree.balance = balance_weight > 0 ? Balance::kLoss : Balance::kNone;
    attention.tree.balance_weight = balance_weight;
    for (uint64_t seed : {options.seed, options.seed + 1}) {
      table.Add(name, [&](const std::function<void(int64_t)>& progress) {
        return RunMatchingToy(attention, steps, seed, progress);
      });
    }
  };
  add("frozen", Tree(kHeight, TreeGradient::kNone), 0);
  add("DENSE", Dense(kHeight, DenseTerms::kClamped, 50), 0);
  add("DENSE, balance .5", Dense(kHeight, DenseTerms::kClamped, 50), 0.5f);
  add("FLIP", Flip(kHeight, FlipChoice::kMinMargin), 0);
  add("FLIP, balance .1", Flip(kHeight, FlipChoice::kMinMargin), 0.1f);
  add("FLIP, random level", Flip(kHeight, FlipChoice::kRandom), 0);
}

}  // namespace

void RunRouterSuite(const RouterSuiteOptions& options, std::ostream& out) {
  const bool all = options.task == "all";
  if (!all && options.task != "recall" && options.task != "characters" &&
      options.task != "matching") {
    throw UserError(Sentence("there is no router task '", options.task,
                             "'; expected recall, characters, matching or all"));
  }
  if (all || options.task == "recall") RunRecall(options, out);
  if (all || options.task == "matching") RunMatching(options, out);
  if (all || options.task == "characters") RunCharacters(options, out);
}

}  // namespace treeformer::bench
