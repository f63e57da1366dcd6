#include "launcher/training/stop_signal.h"

#include <unistd.h>

#include <atomic>
#include <chrono>
#include <csignal>
#include <iostream>
#include <thread>

#include "kernels/matmul/linear.h"
#include "tests/testing.h"

namespace treeformer {

namespace {

// oneDNN's product has its stack in a heap buffer: with a handler instead of a waiting thread this
// ends in a corrupted heap.
TEST(StopSignals, NeverInterruptAMatrixProduct) {
  const StopSignals stop_signals;
  StopSignalsAskForCheckpoint();
  constexpr int64_t kSize = 192;
  const auto a = testing_util::Random<float>(kSize * kSize, 1);
  std::vector<float> expected(kSize * kSize), c(kSize * kSize);
  Context ctx = Context::Cpu();
  const auto multiply = [&](std::vector<float>& product) {
    Gemm(ctx, View<float>(product.data(), {kSize, kSize}),
         {View<const float>(a.data(), {kSize, kSize}), Transpose::kYes,
          View<const float>(a.data(), {kSize, kSize})});
  };
  multiply(expected);

  std::atomic<bool> done = false;
  std::thread sender([&] {
    for (int i = 0; i < 2000; ++i) {
      kill(getpid(), SIGTERM);
      std::this_thread::sleep_for(std::chrono::microseconds(100));
    }
    done = true;
  });
  while (!done) {
    multiply(c);
    ASSERT_EQ(c, expected);
  }
  sender.join();
  EXPECT_EQ(StopSignal(), SIGTERM);
  EXPECT_EQ(StopSignalName(StopSignal()), "SIGTERM");
}

constexpr auto kLong = std::chrono::seconds(10);

// Until the waiting thread has seen it.
void Send(int signal) {
  kill(getpid(), signal);
  while (StopSignal() != signal) std::this_thread::sleep_for(std::chrono::milliseconds(1));
}

class StopSignalsDeathTest : public testing::Test {
 protected:
  void SetUp() override { testing::FLAGS_gtest_death_test_style = "threadsafe"; }
};

TEST_F(StopSignalsDeathTest, EndTheProgramAsAlwaysUntilTheyAreWanted) {
  for (int signal : {SIGTERM, SIGUSR1, SIGUSR2, SIGINT, SIGHUP}) {
    EXPECT_EXIT(
        {
          const StopSignals stop_signals;
          kill(getpid(), signal);
          std::this_thread::sleep_for(kLong);
        },
        testing::KilledBySignal(signal), "");
  }
}

TEST_F(StopSignalsDeathTest, OfAKeyboardWaitForTheCheckpointOnceAndNotTwice) {
  EXPECT_EXIT(
      {
        const StopSignals stop_signals;
        StopSignalsAskForCheckpoint();
        Send(SIGHUP);
        Send(SIGINT);
        std::cerr << StopSignalName(StopSignal()) << " was noted" << std::endl;
        kill(getpid(), SIGINT);
        std::this_thread::sleep_for(kLong);
      },
      testing::KilledBySignal(SIGINT), "SIGINT was noted");
}

TEST_F(StopSignalsDeathTest, ThatAreIgnoredAtTheStartStaySo) {
  EXPECT_EXIT(
      {
        std::signal(SIGHUP, SIG_IGN);  // as nohup does
        const StopSignals stop_signals;
        kill(getpid(), SIGHUP);
        std::this_thread::sleep_for(std::chrono::milliseconds(100));
        std::cerr << "signal " << StopSignal() << std::endl;
        kill(getpid(), SIGTERM);
        std::this_thread::sleep_for(kLong);
      },
      testing::KilledBySignal(SIGTERM), "signal 0");
}

}  // namespace

}  // namespace treeformer
