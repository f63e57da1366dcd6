#include "launcher/run/run_config.h"

#include <gtest/gtest.h>

#include <filesystem>

#include "core/training/bootstrap_plan.h"
#include "core/training/config.h"
#include "dist/local_communicator.h"
#include "tests/datasets/temporary_folder.h"

namespace treeformer {

using config::RunConfig;

namespace {

RunConfig With(const std::string& assignments) {
  RunConfig config;
  ApplyOverrides(assignments, config);
  return config;
}

TEST(RunConfig, AnUnknownFieldIsRefusedWithFileLineAndColumn) {
  EXPECT_REFUSED(
      ParseRunConfig("model {\n  layers: 4\n  widht: 8\n}\n", "a.textproto"),
      "a.textproto:3:8: Message type \"treeformer.config.Model\" has no field named \"widht\"");
  EXPECT_REFUSED(ParseRunConfig("model {\n  layers: many\n}\n", "a.textproto"), "a.textproto:2:");
  EXPECT_REFUSED(ParseRunConfig("model {\n", "a.textproto"), "a.textproto:2:");
  EXPECT_REFUSED(ParseRunConfig("model { layers: 1 layers: 2 }", "a"), "a:1:");
}

TEST(RunConfig, AFileThatCannotBeReadIsRefused) {
  EXPECT_REFUSED(ReadRunConfig("/nowhere/a.textproto"), "/nowhere/a.textproto");
}

TEST(RunConfig, OverridesSetFieldsOfEveryKind) {
  const RunConfig config = With(
      "model.layers=6,optimizer.learning_rate=2e-3\nbootstrap.attention.kind=TC,"
      "bootstrap.attention.branching=100,10,model.causal=true");
  EXPECT_EQ(config.model().layers(), 6);
  EXPECT_EQ(config.optimizer().learning_rate(), 2e-3);
  EXPECT_EQ(config.bootstrap().attention().kind(), config::Attention::TC);
  ASSERT_EQ(config.bootstrap().attention().branching_size(), 2);
  EXPECT_EQ(config.bootstrap().attention().branching(1), 10);
  EXPECT_TRUE(config.model().causal());
}

TEST(RunConfig, AnOverrideReplacesAndAnEmptyOneClears) {
  RunConfig config = With("bootstrap.attention.branching=4,4,model.layers=2");
  ApplyOverrides("bootstrap.attention.branching=8,model.layers=3", config);
  ASSERT_EQ(config.bootstrap().attention().branching_size(), 1);
  EXPECT_EQ(config.bootstrap().attention().branching(0), 8);
  EXPECT_EQ(config.model().layers(), 3);
  ApplyOverrides("bootstrap.attention=", config);
  EXPECT_FALSE(config.bootstrap().has_attention());
  ApplyOverrides("data.vocabulary=vocab.txt", config);
  ApplyOverrides("data.vocabulary=", config);
  EXPECT_FALSE(config.data().has_vocabulary());
}

TEST(RunConfig, AWrongOverrideIsRefusedWithTheNearestField) {
  EXPECT_REFUSED(With("model.layer=2"), "Model has no field 'layer' (did you mean layers?)");
  EXPECT_REFUSED(With("modle.layers=2"), "RunConfig has no field 'modle' (did you mean model?)");
  EXPECT_REFUSED(With("model.layers=two"), "--set=model.layers=two: 'two' is not a value");
  EXPECT_REFUSED(With("model.layers="), "is not a value");
  EXPECT_REFUSED(With("bootstrap.attention.kind=TX"), "'TX' is not a value");
  EXPECT_REFUSED(With("model.layers.x=2"), "layers has no fields of its own");
  EXPECT_REFUSED(With("model=2"), "is a group of fields");
  EXPECT_REFUSED(With("layers"), "expected field.path=value");
  // A value cannot smuggle another field in.
  EXPECT_REFUSED(With("model.layers=2 width: 4"), "is not a value");
}

TEST(RunConfig, TrainingIsValidatedWithFieldValueAndWhatIsAllowed) {
  ValidateTraining(With("training.batch_size=24,training.micro_batches=3"), /*ranks=*/4);
  EXPECT_REFUSED(ValidateTraining(With("training.batch_size=20,training.micro_batches=3"), 4),
                 "training.batch_size is 20; allowed: multiples of 12 (4 ranks x 3 micro_batches)");
  EXPECT_REFUSED(ValidateTraining(With("training.log_every=0"), 1), "training.log_every is 0");
  EXPECT_REFUSED(ValidateTraining(With("training.keep_checkpoints=0"), 1), "keep_checkpoints");
}

TEST(RunConfig, MatmulPrecisionIsThatOfTheContextAndFloat32ByDefault) {
  const auto single = dist::MakeSingleRank();
  const auto precision = [&](const std::string& assignments) {
    return MakeContext(*single, Device::kCpu, With(assignments).training()).matmul_precision();
  };
  EXPECT_EQ(precision(""), MatmulPrecision::kFloat32);
  EXPECT_EQ(precision("training.matmul_precision=FLOAT32"), MatmulPrecision::kFloat32);
  EXPECT_EQ(precision("training.matmul_precision=BFLOAT16"), MatmulPrecision::kBFloat16);
  EXPECT_REFUSED(With("training.matmul_precision=FLOAT16"), "'FLOAT16' is not a value");
  // A run goes on in the precision that it began with.
  EXPECT_EQ(Difference(With(""), With("training.matmul_precision=BFLOAT16")),
            "training.matmul_precision was FLOAT32 and is BFLOAT16");
  EXPECT_EQ(Difference(With(""), With("training.matmul_precision=FLOAT32")), "");
}

TEST(RunConfig, OnlyFieldsThatChangeTheResultAreADifference) {
  const RunConfig before = With("model.layers=4,training.seed=1");
  EXPECT_EQ(Difference(before, With("model.layers=4,training.log_every=7,training.seed=1,"
                                    "training.checkpoint_every=3")),
            "");
  // A default is the same written out or not.
  EXPECT_EQ(Difference(before, With("model.layers=4")), "");
  EXPECT_EQ(Difference(before, With("model.layers=6")), "model.layers was 4 and is 6");
  EXPECT_NE(Difference(before, With("model.layers=4,training.seed=2")).find("training.seed"),
            std::string::npos);
  // A field that does not count may stand beside it.
  EXPECT_EQ(Difference(With("training.log_every=5,training.seed=1"),
                       With("training.log_every=5,training.seed=2")),
            "training.seed was 1 and is 2");
  EXPECT_EQ(Difference(With("data.text=a"), With("data.text=a,b")).substr(0, 12), "data.text[1]");
}

TEST(RunConfig, PrintingAndParsingGiveTheSame) {
  const RunConfig config = With("optimizer.learning_rate=0.1,bootstrap.attention.branching=3,2");
  EXPECT_EQ(Difference(config, ParseRunConfig(PrintRunConfig(config), "printed")), "");
}

TEST(Experiments, ShippedOnesAreFoundByNameAndParse) {
  int shipped = 0;
  for (const auto& entry :
       std::filesystem::directory_iterator(TREEFORMER_SOURCE_DIR "/launcher/experiments")) {
    ++shipped;
    const RunConfig config = ReadRunConfig(FindExperiment(entry.path().stem()));
    ValidateTraining(config, /*ranks=*/2);
    const ModelConfig model =
        MakeModelConfig(config.model(), 30522, config.data().sequence_length());
    EXPECT_GT(BootstrapPlan(model, MakeBootstrapConfig(config.bootstrap(), model)).steps(), 0)
        << entry.path();
  }
  EXPECT_GE(shipped, 7);
  EXPECT_REFUSED(FindExperiment("quick_strat"),
                 "neither a file nor a shipped experiment (did you mean quick_start?)");
}

// Appendix A.1: a pretrained model, then 450,000 steps for every group of three layers.
TEST(Experiments, BertBaseTakesThePapersStepsInEachBootstrappingProcess) {
  struct Shipped {
    const char* name;
    int groups, levels;
  };
  for (const Shipped& shipped : {Shipped{"bert_base_tf", 4, 2}, Shipped{"bert_base_tf_kary", 4, 2},
                                 Shipped{"bert_base_tc", 2, 7}, Shipped{"bert_base_tc_9", 3, 7},
                                 Shipped{"bert_base_tc_12", 4, 7}}) {
    const RunConfig config = ReadRunConfig(FindExperiment(shipped.name));
    const ModelConfig model = MakeModelConfig(config.model(), 30522, 512);
    const BootstrapPlan plan(model, MakeBootstrapConfig(config.bootstrap(), model));
    ASSERT_EQ(plan.stages().size(), 1u + shipped.groups * shipped.levels) << shipped.name;
    for (int group = 0; group < shipped.groups; ++group) {
      const BootstrapStage& first = plan.stages()[1 + group * shipped.levels];
      const BootstrapStage& last = plan.stages()[(group + 1) * shipped.levels];
      EXPECT_NEAR(last.last_step - first.first_step, 450'000, shipped.levels) << shipped.name;
      EXPECT_EQ(first.first_tree_layer, 12 - 3 * (group + 1)) << shipped.name;
    }
    // The last group's rate is not what is left of one decay over the whole run.
    EXPECT_TRUE(MakeOptimizerConfig(config.optimizer()).restart_each_stage) << shipped.name;
    EXPECT_EQ(config.training().batch_size(), 1024) << shipped.name;
  }
  const RunConfig kary = ReadRunConfig(FindExperiment("bert_base_tf_kary"));
  const ModelConfig model = MakeModelConfig(kary.model(), 30522, 512);
  EXPECT_EQ(MakeBootstrapConfig(kary.bootstrap(), model).attention.shape,
            TreeShape::Kary({100, 10}));
}

}  // namespace

}  // namespace treeformer
