// The benchmark suites that time: their rows, not their times.

#include <gflags/gflags.h>
#include <gtest/gtest.h>

#include <fstream>
#include <nlohmann/json.hpp>
#include <sstream>

#include "dist/local_communicator.h"
#include "launcher/bench/attention_module.h"
#include "launcher/bench/attention_suite.h"
#include "launcher/commands.h"
#include "launcher/flags.h"
#include "tests/datasets/temporary_folder.h"

namespace {

std::vector<nlohmann::json> ReadLines(const std::string& path) {
  std::ifstream file(path);
  std::vector<nlohmann::json> rows;
  for (std::string line; std::getline(file, line);) rows.push_back(nlohmann::json::parse(line));
  return rows;
}

AttentionConfig Tree(int height) {
  AttentionConfig attention;
  attention.kind = AttentionKind::kTf;
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

TEST(BenchCommand, RefusesDtypesThatItDoesNotKnow) {
  const gflags::FlagSaver saver;
  const auto communicator = dist::MakeSingleRank();
  std::ostringstream out;
  for (const char* suite : {"--suite=attention", "--suite=train"}) {
    EXPECT_REFUSED(Dispatch(AllCommands(), {"bench", suite, "--dtype=float16"}, *communicator, out),
                   "--dtype is 'float16'; expected float32 or bfloat16");
  }
}

TEST(BenchCommand, RefusesLengthsThatAreNotNumbers) {
  const gflags::FlagSaver saver;
  const auto communicator = dist::MakeSingleRank();
  std::ostringstream out;
  for (const char* lengths : {"512,x", "0", "12 "}) {
    EXPECT_REFUSED(
        Dispatch(AllCommands(), {"bench", "--suite=attention", std::string("--lengths=") + lengths},
                 *communicator, out),
        "is not a number of tokens");
  }
}

}  // namespace
