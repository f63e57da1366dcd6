#include "launcher/run/run_plan.h"

#include <gtest/gtest.h>

#include "tests/core/foreign_file.h"
#include "tests/launcher/small_run.h"

namespace treeformer {

namespace {

void Validate(const std::string& overrides, int ranks = 1) {
  ValidateRun(SmallRun(overrides), ranks, Device::kCpu);
}

TEST(ValidateRun, SizesThatWouldOverflowAreRefused) {
  EXPECT_REFUSED(Validate("model.layers=2147483647"), "allowed: 1 to 10000");
  EXPECT_REFUSED(Validate("model.width=2000000000"), "model.width is 2000000000; allowed: 1 to");
  EXPECT_REFUSED(Validate("model.feed_forward=2147483647"), "model.feed_forward is 2147483647");
  EXPECT_REFUSED(Validate("training.batch_size=4294967296"), "training.batch_size is 4294967296");
  EXPECT_REFUSED(Validate("bootstrap.full_steps=9223372036854775807"), "bootstrap.full_steps is");
  EXPECT_REFUSED(Validate("bootstrap.final_steps=-1"), "bootstrap.final_steps is -1");
  EXPECT_REFUSED(Validate("model.width=1048576,training.batch_size=1048576"),
                 "the model of stage 0 needs on each rank");
}

TEST(ValidateRun, EveryStageHasAStep) {
  Validate("bootstrap.tree_steps=2");
  EXPECT_REFUSED(Validate("bootstrap.tree_steps=1"),
                 "expected a step or more for each of 2 stages (1 groups of layers x 2 heights)");
}

TEST(ValidateRun, TheBatchDividesOverRanksAndMicroBatches) {
  Validate("training.micro_batches=2", 4);
  EXPECT_REFUSED(Validate("training.micro_batches=2", 3), "training.batch_size is 8");
  EXPECT_EQ(MicroBatchOf(SmallRun("training.micro_batches=2"), 2).sequences, 2);
}

// Before a vocabulary is made: of its size nothing is known yet.
TEST(ValidateStartFrom, WeightsThatTheModelCannotTakeAreRefusedBeforeThereIsData) {
  const TemporaryFolder folder;
  const auto validate = [&](const std::string& overrides = "") {
    ValidateStartFrom(SmallRun("training.start_from=" + folder.File("w") + overrides));
  };
  EXPECT_REFUSED(validate(), "/w cannot be read: No such file");
  const std::string words = "bert.embeddings.word_embeddings.weight";
  const auto write = [&](int64_t rows) {
    folder.Write("w", ForeignFile({{words, "F16", {rows, 16}, std::string(32 * rows, '\1')}}));
  };
  write(7);
  EXPECT_REFUSED(validate(), "has no tensor bert.embeddings.position_embeddings.weight");
  folder.Write("vocab.txt", "[PAD]\n[UNK]\n[CLS]\n[SEP]\n[MASK]\ngood\n");
  const std::string made = ",data.vocabulary=" + folder.File("vocab.txt");
  EXPECT_REFUSED(validate(made), words + " is F16 [7,16], the model's is [6, 16]");
  write(6);
  EXPECT_REFUSED(validate(made), "has no tensor bert.embeddings.position_embeddings.weight");
  folder.Write("config.json", R"({"model_type": "bert", "num_attention_heads": 4})");
  EXPECT_REFUSED(validate(made),
                 "config.json: num_attention_heads is 4, expected 2, which is model.heads");
  folder.Write("config.json", R"({"num_attention_heads": 2})");
  EXPECT_REFUSED(validate(made), "has no tensor bert.embeddings.position_embeddings.weight");
  folder.Write("config.json", "{");
  EXPECT_REFUSED(validate(made), "config.json cannot be used: ");
}

}  // namespace

}  // namespace treeformer
