#include "datasets/prefetch_loader.h"

#include <gtest/gtest.h>

#include <atomic>

#include "tests/datasets/temporary_folder.h"

namespace treeformer::datasets {
namespace {

// Gives batches whose one token tells step and micro-batch; throws at `failing_step`; sees that the
// thread is at most one step ahead of the step in use.
class CountingLoader : public Loader {
 public:
  CountingLoader(const std::atomic<int64_t>* step_in_use, int64_t failing_step, int* alive)
      : step_in_use_(step_in_use), failing_step_(failing_step), alive_(alive) {
    ++*alive_;
  }
  ~CountingLoader() override { --*alive_; }

  Batch Get(int micro) override {
    EXPECT_LE(state_.step, *step_in_use_ + 1);
    if (state_.step == failing_step_) throw UserError("the disk is gone");
    Batch batch;
    batch.Resize(1, 1, 0);
    batch.tokens[0] = 10 * state_.step + micro;
    return batch;
  }
  void NextStep() override {
    ++state_.step;
    state_.next_sample += 5;
  }
  LoaderState state() const override { return state_; }
  void Restore(const LoaderState& state) override { state_ = state; }

 private:
  const std::atomic<int64_t>* step_in_use_;
  const int64_t failing_step_;
  int* const alive_;
  LoaderState state_;
};

class PrefetchLoaderTest : public testing::Test {
 protected:
  PrefetchLoader Make(int micro_batches, int64_t failing_step = -1) {
    return PrefetchLoader(std::make_unique<CountingLoader>(&step_in_use_, failing_step, &alive_),
                          micro_batches);
  }
  void Next(PrefetchLoader* loader) {
    ++step_in_use_;
    loader->NextStep();
  }

  std::atomic<int64_t> step_in_use_ = 0;
  int alive_ = 0;  // loaders within
};

TEST_F(PrefetchLoaderTest, GivesTheBatchesAndStatesOfTheLoaderWithin) {
  PrefetchLoader loader = Make(/*micro_batches=*/3);
  for (int step = 0; step < 200; ++step) {
    for (const int micro : {2, 0, 1, 0}) EXPECT_EQ(loader.Get(micro).tokens[0], 10 * step + micro);
    EXPECT_EQ(loader.state().step, step);
    EXPECT_EQ(loader.state().next_sample, 5 * step);
    Next(&loader);
  }
}

TEST_F(PrefetchLoaderTest, StepsMayBeLeftOut) {
  PrefetchLoader loader = Make(1);
  for (int step = 0; step < 50; ++step) Next(&loader);
  EXPECT_EQ(loader.Get(0).tokens[0], 500);
}

TEST_F(PrefetchLoaderTest, RestoreDropsWhatWasMadeAhead) {
  PrefetchLoader loader = Make(2);
  for (const int64_t step : {40, 0, 7, 7}) {
    step_in_use_ = 1000;  // the bound is not what is tested here
    loader.Restore({.step = step});
    EXPECT_EQ(loader.state().step, step);
    EXPECT_EQ(loader.Get(1).tokens[0], 10 * step + 1);
    loader.NextStep();
    EXPECT_EQ(loader.Get(0).tokens[0], 10 * (step + 1));
  }
}

TEST_F(PrefetchLoaderTest, AnErrorOfTheThreadReachesTheCallerAtItsStep) {
  PrefetchLoader loader = Make(2, /*failing_step=*/3);
  for (int step = 0; step < 3; ++step, Next(&loader)) EXPECT_EQ(loader.Get(0).tokens[0], 10 * step);
  EXPECT_REFUSED(loader.Get(0), "the disk is gone");
  EXPECT_REFUSED(loader.Get(1), "the disk is gone");
  EXPECT_EQ(loader.state().step, 3);
  loader.Restore({.step = 1});
  EXPECT_EQ(loader.Get(0).tokens[0], 10);
}

TEST_F(PrefetchLoaderTest, MayDieAtAnyTime) {
  for (int uses = 0; uses < 100; ++uses) {
    step_in_use_ = 0;
    PrefetchLoader loader = Make(1);
    for (int i = 0; i < uses % 4; ++i) Next(&loader);
    if (uses % 3 == 0) loader.Get(0);
    EXPECT_EQ(alive_, 1);
  }
  EXPECT_EQ(alive_, 0);
}

}  // namespace
}  // namespace treeformer::datasets
