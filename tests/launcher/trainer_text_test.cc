// Runs on text of the user's own, which changes or goes while they are stopped.

#include <gtest/gtest.h>

#include <fstream>

#include "datasets/stories.h"
#include "tests/launcher/small_run.h"

namespace treeformer {

namespace fs = std::filesystem;

namespace {

class TrainerTextTest : public testing::Test {
 protected:
  TrainerTextTest() {
    datasets::WriteStories({.seed = 5, .count = 120, .mean_words = 60}, text_.File("text.txt"));
    fs::create_directories(text_.File("texts"));
    fs::rename(text_.File("text.txt"), text_.File("texts/text.txt"));
  }
  config::RunConfig Config(const std::string& more = "") const {
    return SmallRun("data.stories=,data.document=LINE,data.text=" + text_.File("texts") + more);
  }
  std::string ReadModel() { return text_.Read("run/checkpoints/step_18/model.safetensors"); }

  TemporaryFolder text_;
  const std::string run_ = text_.File("run");
};

TEST_F(TrainerTextTest, ARunGoesOnWithoutItsText) {
  ASSERT_EQ(Train(Config(), run_), 0);
  const std::string model = ReadModel();
  fs::remove_all(text_.File("run/checkpoints/step_18"));
  fs::remove_all(text_.File("texts"));
  ASSERT_EQ(Train(Config(), run_), 0);
  EXPECT_TRUE(ReadModel() == model);
}

TEST_F(TrainerTextTest, ARunGoesOnWithoutTheVocabularyAndTheWeightsItBeganWith) {
  ASSERT_EQ(Train(Config(), text_.File("before")), 0);
  fs::rename(text_.File("before/data/vocab.txt"), text_.File("v.txt"));
  fs::rename(text_.File("before/checkpoints/step_18/model.safetensors"), text_.File("w"));
  config::RunConfig config =
      Config(",data.vocabulary=" + text_.File("v.txt") + ",training.start_from=" + text_.File("w") +
             ",bootstrap.full_steps=18" + ",bootstrap.tree_steps=0,bootstrap.final_steps=0");
  config.mutable_data()->clear_vocabulary_size();
  ASSERT_EQ(Train(config, run_), 0);
  const std::string model = ReadModel();
  fs::remove_all(text_.File("run/checkpoints/step_18"));
  fs::remove(text_.File("v.txt"));
  fs::remove(text_.File("w"));
  ASSERT_EQ(Train(config, run_), 0);
  EXPECT_TRUE(ReadModel() == model);
}

TEST_F(TrainerTextTest, ARunInTheFolderOfItsTextIsRefused) {
  EXPECT_REFUSED(Train(Config(), text_.File("texts/../texts")), "a folder of the text");
  const std::string glob = "data.stories=,data.text=" + text_.File("texts/*");
  EXPECT_REFUSED(Train(SmallRun(glob), text_.File("texts")), "a folder of the text");
  EXPECT_EQ(std::distance(fs::directory_iterator(text_.File("texts")), {}), 1);
  ASSERT_EQ(Train(Config(), run_), 0);
  EXPECT_REFUSED(Train(SmallRun("data.stories=,data.text=" + run_), text_.File("of_a_run")),
                 "is a folder of a training run");
  EXPECT_REFUSED(
      Train(SmallRun("data.stories=,data.text=" + run_ + "/data"), text_.File("of_a_run")),
      "is a folder of a training run");
  for (const char* spelling : {"texts/new/..", "texts/new/../", "texts/."}) {
    EXPECT_REFUSED(Train(Config(), text_.File(spelling)), "a folder of the text");
  }
  fs::rename(text_.File("texts"), text_.File("data"));
  EXPECT_REFUSED(Train(SmallRun("data.stories=,data.text=" + text_.File("data")), text_.path()),
                 "a folder of the text");
  EXPECT_EQ(std::distance(fs::directory_iterator(text_.File("data")), {}), 1);
}

TEST_F(TrainerTextTest, FilesThatAreLostAreNotMadeOfAnotherText) {
  ASSERT_EQ(Train(Config(), run_), 0);
  std::ofstream(text_.File("texts/text.txt"), std::ios::app) << "One more story.\n";
  fs::remove_all(text_.File("run/checkpoints/step_18"));
  ASSERT_EQ(Train(Config(), run_), 0);  // the files are whole
  fs::remove_all(text_.File("run/checkpoints/step_18"));
  fs::remove(text_.File("run/data/training.tokens"));
  for (int attempt = 0; attempt < 2; ++attempt) {
    EXPECT_REFUSED(Train(Config(), run_), "the text or the vocabulary has changed since");
  }
  fs::remove(text_.File("run/data/source.txt"));
  EXPECT_REFUSED(Train(Config(), run_), "source.txt, which says what the tokens were made of, is");
  // A new run takes the text as it is.
  EXPECT_EQ(Train(Config(), text_.File("another")), 0);
}

TEST_F(TrainerTextTest, ARunInsideItsTextIsNoPartOfIt) {
  const std::string inside = text_.File("texts/runs/one");
  ASSERT_EQ(Train(Config(), run_), 0);
  ASSERT_EQ(Train(Config(), inside), 0);
  EXPECT_EQ(text_.Read("texts/runs/one/data/vocab.txt"), text_.Read("run/data/vocab.txt"));
  EXPECT_EQ(text_.Read("texts/runs/one/data/training.tokens"),
            text_.Read("run/data/training.tokens"));
  fs::remove_all(text_.File("texts/runs/one/checkpoints/step_18"));
  EXPECT_EQ(Train(Config(), inside), 0);  // goes on
  EXPECT_EQ(Train(Config(), text_.File("texts/runs/two")), 0);
  EXPECT_EQ(text_.Read("texts/runs/two/data/vocab.txt"), text_.Read("run/data/vocab.txt"));
}

}  // namespace

}  // namespace treeformer
