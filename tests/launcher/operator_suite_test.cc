// The suite of attention operators, on the CPU: what it counts and what it writes, not its times.

#include "launcher/bench/timing/operator_suite.h"

#include <gflags/gflags.h>
#include <gtest/gtest.h>
#include <omp.h>

#include <chrono>
#include <fstream>
#include <nlohmann/json.hpp>
#include <numeric>
#include <set>
#include <sstream>
#include <thread>

#include "core/attention/tc_attention_layer.h"
#include "core/attention/tf_attention_layer.h"
#include "launcher/bench/timing/operator_work.h"
#include "launcher/bench/timing/random_rows.h"
#include "launcher/bench/timing/timing.h"
#include "launcher/bench/timing/tree_parts.h"
#include "launcher/program/flag_values.h"
#include "launcher/program/flags.h"
#include "tests/datasets/temporary_folder.h"

namespace treeformer::bench {
namespace {

AttentionConfig Tree(const AttentionKind* kind, int height,
                     TreeGradient gradient = TreeGradient::kFlip) {
  AttentionConfig attention;
  attention.kind = kind;
  attention.shape = TreeShape::Binary(height);
  attention.tree.gradient = gradient;
  return attention;
}

void ExpectPairs(const std::vector<int32_t>& queries, const std::vector<int32_t>& keys,
                 int64_t useful, int64_t computed) {
  const TilePairs pairs = CountTilePairs(queries, keys);
  EXPECT_EQ(pairs.useful, useful);
  EXPECT_EQ(pairs.computed, computed);
}

TEST(CountTilePairs, FullTilesOfOneLeafAreAllUseful) {
  ExpectPairs({64}, {64}, 64 * 64, 64 * 64);
  ExpectPairs({16, 16}, {16, 16}, 2 * 16 * 16, 2 * 16 * 16);
}

TEST(CountTilePairs, AWarpsRowsAndTheSlicesOfKeysAreRoundedUp) {
  ExpectPairs({1}, {1}, 1, 16 * 16);
  ExpectPairs({17}, {33}, 17 * 33, 2 * 16 * 48);
}

TEST(CountTilePairs, LeavesThatShareAWarpAreComputedForAllItsRows) {
  ExpectPairs({8, 8}, {20, 20}, 2 * 8 * 20, 16 * 48);
}

TEST(CountTilePairs, SlicesBeginWhereTheBlocksKeysBegin) {
  // The second warp's keys are 10 to 20 of the block's: slices 0 and 1.
  ExpectPairs({16, 16}, {10, 10}, 2 * 16 * 10, 16 * 16 + 16 * 32);
  // The second block's keys are its own: from the 10th, two slices.
  ExpectPairs({64, 1}, {10, 30}, 64 * 10 + 30, 4 * 16 * 16 + 16 * 32);
}

TEST(CountTilePairs, QueriesWithoutKeysCostNothingAndWidenNoRange) {
  ExpectPairs({5}, {0}, 0, 0);
  ExpectPairs({16, 5, 0}, {0, 7, 100}, 35, 16 * 16);
  ExpectPairs({0, 0}, {7, 3}, 0, 0);
}

TEST(WorkOf, CountsProductsOfPairsAndTensorsMovedOnce) {
  const ModuleSize size{.sequences = 2, .length = 10, .heads = 3, .head_width = 4};
  const double tensor = 2 * 10 * 12 * 2, pairs = 2 * 3 * 10 * 10, e = 4;
  const OperatorWork flip = WorkOf(size, Tree(&kTfAttention, 2), /*density=*/0.25, 2);
  EXPECT_DOUBLE_EQ(flip.forward.flops, 4 * e * pairs / 4);
  EXPECT_DOUBLE_EQ(flip.backward.flops, 18 * e * pairs / 4);
  EXPECT_DOUBLE_EQ(flip.forward.bytes, 4 * tensor);
  EXPECT_DOUBLE_EQ(flip.backward.bytes, 8 * tensor);
  EXPECT_DOUBLE_EQ(flip.route.bytes, 2 * tensor);
  EXPECT_DOUBLE_EQ(flip.layer_forward.flops, 4 * e * pairs / 4 + 4 * 2 * 20 * 12 * 12);
  EXPECT_DOUBLE_EQ(flip.layer_backward.flops, 18 * e * pairs / 4 + 2 * 4 * 2 * 20 * 12 * 12);
  const OperatorWork dense = WorkOf(size, Tree(&kTfAttention, 2, TreeGradient::kDense), 0.25, 2);
  EXPECT_DOUBLE_EQ(dense.backward.flops, 10 * e * pairs / 4 + 4 * e * pairs);
  const OperatorWork full = WorkOf(size, AttentionConfig(), /*density=*/1, 2);
  EXPECT_DOUBLE_EQ(full.backward.flops, 10 * e * pairs);
  const OperatorWork tc = WorkOf(size, Tree(&kTcAttention, 2), 0.25, 2);
  EXPECT_DOUBLE_EQ(tc.forward.bytes, 4 * tensor);
  EXPECT_DOUBLE_EQ(tc.backward.bytes, 7 * tensor);
  EXPECT_EQ(tc.forward.flops, 0);
}

TEST(FillNormal, IsAFunctionOfSeedAndPlaceAndRoundsForBFloat16) {
  constexpr int64_t kCount = (1 << 20) + 17;  // one past a slice on the host
  Context ctx = Context::Cpu();
  const auto make = [](DType dtype, int64_t count) { return Buffer(Device::kCpu, dtype, {count}); };
  const Buffer floats = make(DType::kFloat32, kCount), other = make(DType::kFloat32, 16411);
  const Buffer rounded = make(DType::kBFloat16, kCount);
  FillNormal(ctx, floats, 1);
  FillNormal(ctx, other, 1);
  FillNormal(ctx, rounded, 1);
  const View<float> x = floats;
  for (int64_t i = 0; i < other.view().count(); ++i) ASSERT_EQ(other.as<float>()[i], x[i]) << i;
  double sum = 0, squares = 0;
  for (int64_t i = 0; i < kCount; ++i) {
    ASSERT_NEAR(ToFloat32(rounded.as<BFloat16>()[i]), x[i], std::abs(x[i]) * 0x1p-8) << i;
    sum += x[i];
    squares += x[i] * x[i];
  }
  // Five standard deviations of the mean and of the mean square.
  EXPECT_NEAR(sum / kCount, 0, 5 / std::sqrt(kCount));
  EXPECT_NEAR(squares / kCount, 1, 5 * std::sqrt(2.0 / kCount));
  FillNormal(ctx, other, 2);
  EXPECT_NE(other.as<float>()[0], x[0]);
  FillNormal(ctx, make(DType::kFloat32, 0), 1);
}

TEST(MedianSecondsOnStream, IsTheTimeOfOneCallOfAGroup) {
  Context ctx = Context::Cpu();
  int calls = 0;
  const double seconds = MedianSecondsOnStream(ctx, [&] {
    ++calls;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  });
  EXPECT_GE(seconds, 1e-3);
  EXPECT_GE(calls, 2 + 8);  // two before, then eight groups of one call at least
  EXPECT_LE(calls, 2 + 8 * 10);
}

TEST(TreeParts, FindTheDensityThatTheModuleReports) {
  const ModuleSize size{.sequences = 3, .length = 67, .heads = 2, .head_width = 16};
  for (const AttentionKind* kind : {&kTfAttention, &kTcAttention}) {
    AttentionModule module(Context::Cpu(), Tree(kind, 3), size);
    module.ForwardWithoutProjections(/*training=*/true);
    TreeParts parts(module);
    parts.Route();
    parts.Sort();
    const TilePairs pairs = parts.CountPairs();
    const double all = 3.0 * 2 * 67 * 67;
    EXPECT_NEAR(static_cast<double>(pairs.useful) / all, module.ReadStatistics().density, 1e-12);
    EXPECT_GE(pairs.computed, pairs.useful);
  }
}

TEST(AttentionModule, HasBatchesAndABackwardPassWithoutProjections) {
  const ModuleSize size{.sequences = 2, .length = 65, .heads = 3, .head_width = 16};
  AttentionModule module(Context::Cpu(), Tree(&kTfAttention, 2), size);
  const View<const float> gradient = In(module.trees().at(0)->dweight());
  const auto sum = [&] {
    return std::accumulate(gradient.data(), gradient.data() + gradient.count(), 0.0,
                           [](double all, float x) { return all + std::abs(x); });
  };
  module.ForwardWithoutProjections(/*training=*/true);
  const int64_t forward_bytes = module.HeldBytes();
  EXPECT_EQ(sum(), 0);
  module.BackwardWithoutProjections();
  EXPECT_GT(sum(), 0);
  // dq, dk, dv at least
  EXPECT_GE(module.HeldBytes(), forward_bytes + 3 * size.rows() * size.width() * 4);
}

TEST(OperatorProblems, AreTheShapesOfTheGates) {
  std::set<std::string> names;
  for (const OperatorProblem& problem : MakeOperatorProblems({512, 2048, 8192, 131072})) {
    for (const OperatorRow& row : problem.rows) {
      names.insert(Sentence(problem.size.sequences, " x ", problem.size.heads, " x ",
                            problem.size.length, " x ", problem.size.head_width, " ", row.name));
    }
  }
  for (const char* name :
       {"16 x 12 x 512 x 64 TF h=2 balanced", "1 x 8 x 8192 x 96 TF h=6 balanced",
        "1 x 16 x 2048 x 64 TF h=6 DENSE", "1 x 16 x 8192 x 64 TF h=6 balanced",
        "1 x 16 x 131072 x 64 TF h=6 balanced", "1 x 16 x 131072 x 64 TF h=7 balanced",
        "1 x 16 x 131072 x 64 TF h=8 balanced", "1 x 16 x 131072 x 64 TF h=6 density .3",
        "1 x 16 x 131072 x 64 TF [100,10] balanced", "1 x 16 x 131072 x 64 TC h=7"}) {
    EXPECT_EQ(names.count(name), 1u) << name;
  }
  EXPECT_EQ(names.count("1 x 16 x 131072 x 64 TF h=6 DENSE"), 0u);
  EXPECT_EQ(names.count("1 x 16 x 131072 x 64 full"), 0u);
}

class OperatorSuiteTest : public testing::Test {
 protected:
  OperatorSuiteTest() { omp_set_num_threads(1); }  // problems are too small for more
  ~OperatorSuiteTest() override { omp_set_num_threads(threads_); }

  std::vector<nlohmann::json> Run(const std::vector<OperatorProblem>& problems,
                                  const std::string& rows = "") {
    const std::string json = testing::TempDir() + "/operators.json";
    const TimingOptions options{.lengths = {}, .rows = rows, .json = json};
    RunOperatorSuite(options, problems,
                     {.copy_bytes = 4096, .matmul = 33, .sample = 256, .group_seconds = 0}, out_);
    std::ifstream file(json);
    std::vector<nlohmann::json> lines;
    for (std::string line; std::getline(file, line);) lines.push_back(nlohmann::json::parse(line));
    return lines;
  }
  static std::vector<std::string> PassesOf(const std::vector<nlohmann::json>& lines,
                                           const std::string& attention) {
    std::vector<std::string> passes;
    for (const nlohmann::json& line : lines) {
      if (line.value("attention", "") == attention) passes.push_back(line.at("pass"));
    }
    return passes;
  }

  const int threads_ = omp_get_max_threads();
  std::ostringstream out_;
  const ModuleSize size_{.sequences = 2, .length = 130, .heads = 3, .head_width = 16};
};

TEST_F(OperatorSuiteTest, WritesTheMachinesRatesAndThePassesOfEveryRow) {
  const std::vector<nlohmann::json> lines =
      Run({{size_,
            {{"TF", Tree(&kTfAttention, 2), /*spread=*/true},
             {"DENSE", Tree(&kTfAttention, 2, TreeGradient::kDense), /*spread=*/true},
             {"TC", Tree(&kTcAttention, 2, TreeGradient::kDense)},
             {"full", AttentionConfig()}}}});
  EXPECT_GT(lines.at(0).at("copy_bytes_per_second"), 0);
  EXPECT_GT(lines.at(0).at("matmul_flops_per_second"), 0);
  const std::vector<std::string> full = {"forward", "backward", "forward+backward", "layer forward",
                                         "layer forward+backward"};
  std::vector<std::string> tree = {"route", "sort"};
  tree.insert(tree.end(), full.begin(), full.end());
  EXPECT_EQ(PassesOf(lines, "TF"), tree);
  EXPECT_EQ(PassesOf(lines, "DENSE"), tree);
  EXPECT_EQ(PassesOf(lines, "TC"), tree);
  EXPECT_EQ(PassesOf(lines, "full"), full);
  for (const nlohmann::json& line : lines) {
    EXPECT_EQ(line.at("device"), "cpu");
    if (!line.contains("pass")) continue;
    EXPECT_GT(line.at("seconds"), 0);
    EXPECT_GT(line.at("held_bytes"), 0);
    EXPECT_EQ(line.at("sequences"), 2);
    EXPECT_EQ(line.at("heads"), 3);
    EXPECT_EQ(line.at("head_width"), 16);
    EXPECT_EQ(line.at("length"), 130);
    if (line.at("attention") == "full") {
      EXPECT_EQ(line.at("density"), 1);
    } else if (line.at("attention") == "TF") {
      EXPECT_NEAR(line.at("density"), 0.25, 0.03);
    }
  }
}

TEST_F(OperatorSuiteTest, GivesADensityThatIsAskedFor) {
  const std::vector<nlohmann::json> lines =
      Run({{size_, {{"skewed", Tree(&kTfAttention, 3), /*spread=*/true, /*density=*/0.5}}}});
  EXPECT_NEAR(lines.at(1).at("density"), 0.5, 0.1);
}

TEST_F(OperatorSuiteTest, TimesOnlyTheRowsThatAreAskedFor) {
  const std::vector<OperatorProblem> problems = {
      {size_, {{"TF", Tree(&kTfAttention, 1)}, {"full", AttentionConfig()}}}};
  EXPECT_TRUE(PassesOf(Run(problems, "full"), "TF").empty());
  EXPECT_REFUSED(Run(problems, "none such"), "no row has this in it");
}

TEST(Device, OfTheFlagDecidesTheElementTypeOfActivations) {
  const gflags::FlagSaver saver;
  EXPECT_EQ(DeviceFromFlag(), Device::kCpu);
  FLAGS_device = "cuda";
  EXPECT_EQ(DeviceFromFlag(), Device::kCuda);
  EXPECT_EQ(ActivationDType(Device::kCpu), DType::kFloat32);
  EXPECT_EQ(ActivationDType(Device::kCuda), DType::kBFloat16);
  FLAGS_device = "CUDA";
  EXPECT_REFUSED(DeviceFromFlag(), "--device is 'CUDA'; expected cpu or cuda");
}

}  // namespace
}  // namespace treeformer::bench
