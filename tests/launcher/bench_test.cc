// The benchmark suites that time: their rows, not their times.

#include <gflags/gflags.h>
#include <gtest/gtest.h>

#include <cmath>
#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "core/attention/tf_attention_layer.h"
#include "dist/local_communicator.h"
#include "kernels/base/user_error.h"
#include "launcher/bench/timing/attention_module.h"
#include "launcher/bench/timing/attention_suite.h"
#include "launcher/commands/commands.h"
#include "launcher/program/flags.h"
#include "tests/datasets/temporary_folder.h"
#include "tests/launcher/small_run.h"

namespace treeformer {

namespace {

std::vector<nlohmann::json> ReadLines(const std::string& path) {
  std::ifstream file(path);
  std::vector<nlohmann::json> rows;
  for (std::string line; std::getline(file, line);) rows.push_back(nlohmann::json::parse(line));
  return rows;
}

AttentionConfig Tree(int height) {
  AttentionConfig attention;
  attention.kind = &kTfAttention;
  attention.shape = TreeShape::Binary(height);
  return attention;
}

TEST(BalancedBiases, GiveTheIdealDensityOrTheOneAskedFor) {
  for (const double density : {0.0, 0.4}) {
    bench::AttentionModule module(Tree(2), /*length=*/1000);
    module.SetTreeBiases(bench::BalancedBiases(Tree(2), density, /*sample=*/512));
    module.Forward(/*training=*/false);
    EXPECT_NEAR(module.ReadStatistics().density, density == 0 ? 0.25 : density, 0.03);
  }
}

TEST(AttentionSuite, WritesThreePassesOfARow) {
  const std::string json = testing::TempDir() + "/attention.json";
  std::ostringstream out;
  bench::RunAttentionSuite({{33}, "full", json}, out);
  const std::vector<nlohmann::json> rows = ReadLines(json);
  ASSERT_EQ(rows.size(), 3u);
  EXPECT_EQ(rows[2].at("length"), 33);
  EXPECT_EQ(rows[2].at("pass"), "attention only");
  for (const nlohmann::json& row : rows) {
    EXPECT_EQ(row.at("density"), 1);
    EXPECT_GT(row.at("seconds"), 0);
    EXPECT_GT(row.at("floor_seconds"), 0);
  }
  EXPECT_REFUSED(bench::RunAttentionSuite({{16}, "none such", ""}, out), "no row has this in it");
}

TEST(AttentionSuite, SaysItsDtypeInHeadingAndRows) {
  for (const auto precision : {MatmulPrecision::kFloat32, MatmulPrecision::kBFloat16}) {
    const bool bfloat16 = precision == MatmulPrecision::kBFloat16;
    const std::string json = testing::TempDir() + "/dtype.json";
    std::ostringstream out;
    bench::RunAttentionSuite({{33}, "full", json, precision}, out);
    EXPECT_NE(out.str().find(bfloat16 ? "products of bfloat16" : "batch 1, float32, "),
              std::string::npos)
        << out.str();
    for (const nlohmann::json& row : ReadLines(json)) {
      EXPECT_EQ(row.at("dtype"), bfloat16 ? "bfloat16" : "float32");
    }
  }
}

TEST(TrainedAttention, IsTheDeepestTreeLayerOfARunWithTheRowsThatReachIt) {
  const gflags::FlagSaver saver;
  const TemporaryFolder folder;
  ASSERT_EQ(Train(SmallRun("model.width=768,model.heads=8,model.layers=1,bootstrap.layer_width=1,"
                           "bootstrap.full_steps=0,bootstrap.tree_steps=2,"
                           "training.evaluate_every=0"),
                  folder.path()),
            0);
  FLAGS_run_dir = folder.path();
  const bench::TrainedAttention trained = bench::ReadTrainedAttention(768, 8, /*length=*/100);
  EXPECT_EQ(trained.attention.shape, TreeShape::Binary(2));
  const std::string tree = EncoderLayerName(trained.layer) + ".attention.self.tree.weight";
  EXPECT_EQ(trained.weights.at(tree).size(), 8u * 3 * 96);
  ASSERT_EQ(trained.rows.size(), 100u * 768);
  for (int64_t row = 0; row < 100; ++row) {  // post-norm: a layer norm made every row
    double squares = 0;
    for (int64_t c = 0; c < 768; ++c) squares += std::pow(trained.rows[row * 768 + c], 2);
    EXPECT_NEAR(squares, 768, 30) << row;
  }

  const std::string json = testing::TempDir() + "/trained.json";
  std::ostringstream out;
  bench::RunAttentionSuite({.lengths = {64}, .rows = "trained", .json = json, .trained = true},
                           out);
  const std::vector<nlohmann::json> rows = ReadLines(json);
  ASSERT_EQ(rows.size(), 3u);
  EXPECT_EQ(rows[0].at("attention"), "TF h=2 trained");
  EXPECT_LT(rows[0].at("density"), 1);
  EXPECT_REFUSED(bench::ReadTrainedAttention(768, 8, /*length=*/1 << 30), "for --lengths");
  EXPECT_REFUSED(bench::ReadTrainedAttention(512, 8, /*length=*/64),
                 "width 768, 8 heads; expected width 512, 8 heads");
}

TEST(BenchCommand, RefusesDtypesThatItDoesNotKnow) {
  const gflags::FlagSaver saver;
  dist::MpiSession session;
  std::ostringstream out;
  for (const char* suite : {"--suite=attention", "--suite=train"}) {
    EXPECT_REFUSED(Dispatch(AllCommands(), {"bench", suite, "--dtype=float16"}, session, out),
                   "--dtype is 'float16'; expected float32 or bfloat16");
  }
}

TEST(BenchCommand, RefusesDevicesThatItDoesNotKnowOrHave) {
  const gflags::FlagSaver saver;
  dist::MpiSession session;
  std::ostringstream out;
  for (const char* suite : {"--suite=attention", "--suite=train", "--suite=router"}) {
    EXPECT_REFUSED(Dispatch(AllCommands(), {"bench", suite, "--device=gpu"}, session, out),
                   "--device is 'gpu'; expected cpu or cuda");
  }
  EXPECT_REFUSED(
      Dispatch(AllCommands(), {"bench", "--suite=router", "--device=cuda"}, session, out),
      "--suite=router runs on the CPU");
  EXPECT_REFUSED(Dispatch(AllCommands(),
                          {"bench", "--suite=attention", "--device=cuda", "--run_dir=runs/mine"},
                          session, out),
                 "timed with --device=cpu only");
  FLAGS_run_dir = "";
  if (Context::CudaDeviceCount() > 0) GTEST_SKIP() << "a GPU is here";
  for (const char* suite : {"--suite=attention", "--suite=train"}) {
    EXPECT_THROW(Dispatch(AllCommands(), {"bench", suite, "--device=cuda"}, session, out),
                 UserError);
  }
}

TEST(BenchCommand, RefusesLengthsThatAreNotNumbers) {
  const gflags::FlagSaver saver;
  dist::MpiSession session;
  std::ostringstream out;
  for (const char* lengths : {"512,x", "0", "12 "}) {
    EXPECT_REFUSED(
        Dispatch(AllCommands(), {"bench", "--suite=attention", std::string("--lengths=") + lengths},
                 session, out),
        "is not a number of tokens");
  }
}

}  // namespace

}  // namespace treeformer
