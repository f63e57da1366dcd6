#include "launcher/run/run_data.h"

#include <gtest/gtest.h>

#include "tests/datasets/temporary_folder.h"

namespace treeformer {

namespace {

std::vector<std::string> Inputs(const std::string& text) {
  config::DatasetConfig config;
  SetText(text, config);
  return {config.text().begin(), config.text().end()};
}

TEST(SetText, CommasAndLineEndsSeparateInputs) {
  EXPECT_EQ(Inputs("a,b\nc"), (std::vector<std::string>{"a", "b", "c"}));
}

TEST(SetText, ANameWithCommasIsTakenWholeWhereItExists) {
  const TemporaryFolder folder;
  const std::string name = folder.Write("one,two,three.txt", "text");
  EXPECT_EQ(Inputs(name), std::vector<std::string>{name});
  EXPECT_EQ(Inputs("a," + name + ",b"), (std::vector<std::string>{"a", name, "b"}));
  EXPECT_EQ(Inputs("x,y.txt").size(), 2u);
}

}  // namespace

}  // namespace treeformer
