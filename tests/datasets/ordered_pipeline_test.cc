#include "datasets/ordered_pipeline.h"

#include <gtest/gtest.h>
#include <pthread.h>

#include <chrono>
#include <numeric>
#include <stdexcept>
#include <string>

#include "tests/datasets/temporary_folder.h"

namespace treeformer::datasets {
namespace {

constexpr int kItems = 200;

// Squares 0 .. kItems - 1; odd items take longer.  `fail` throws in "read", "work" or "write".
std::vector<int> Squares(int threads, const std::string& fail = "") {
  int next = 0;
  std::vector<int> squares;
  const auto may_fail = [&](const std::string& where, int item) {
    if (where == fail && item == 100) throw std::runtime_error(where);
  };
  OrderedPipeline<int, int> pipeline(threads);
  pipeline.Run(
      [&](int* item) {
        may_fail("read", next);
        *item = next;
        return next++ < kItems;
      },
      [&](int thread, int item) {
        EXPECT_LT(thread, threads);
        may_fail("work", item);
        if (item % 2 == 1) std::this_thread::sleep_for(std::chrono::microseconds(50));
        return item * item;
      },
      [&](int square) {
        may_fail("write", squares.size());
        squares.push_back(square);
      });
  return squares;
}

TEST(OrderedPipeline, WritesInTheOrderItReads) {
  std::vector<int> expected(kItems);
  for (int i = 0; i < kItems; ++i) expected[i] = i * i;
  for (const int threads : {1, 2, 7}) EXPECT_EQ(Squares(threads), expected);
}

TEST(OrderedPipeline, AnErrorOfAnyThreadStopsAll) {
  for (const std::string where : {"read", "work", "write"}) {
    for (const int threads : {1, 3}) {
      try {
        Squares(threads, where);
        ADD_FAILURE() << where;
      } catch (const std::runtime_error& error) {
        EXPECT_EQ(error.what(), where);
      }
    }
  }
}

TEST(OrderedPipeline, TheReaderWaitsForTheWriter) {
  int read = 0, written = 0;
  std::mutex mutex;
  OrderedPipeline<int, int> pipeline(/*threads=*/2);
  pipeline.Run(
      [&](int* item) {
        const std::lock_guard lock(mutex);
        EXPECT_LE(read - written, 7);  // 6 under way and the one in the reader's hand
        *item = read;
        return read++ < kItems;
      },
      [](int, int item) { return item; },
      [&](int) {
        std::this_thread::sleep_for(std::chrono::microseconds(50));
        const std::lock_guard lock(mutex);
        ++written;
      });
  EXPECT_EQ(written, kItems);
}

// Stacks that no address space holds: the first thread that cannot be had ends it all.
TEST(OrderedPipeline, AThreadThatCannotBeStartedIsRefusedInASentence) {
  pthread_attr_t usual, huge;
  ASSERT_EQ(pthread_getattr_default_np(&usual), 0);
  ASSERT_EQ(pthread_attr_init(&huge), 0);
  ASSERT_EQ(pthread_attr_setstacksize(&huge, size_t{1} << 45), 0);
  ASSERT_EQ(pthread_setattr_default_np(&huge), 0);
  EXPECT_REFUSED(Squares(/*threads=*/8), " of 9 cannot be started: Resource temporarily unavail");
  ASSERT_EQ(pthread_setattr_default_np(&usual), 0);
  EXPECT_EQ(Squares(/*threads=*/8).size(), kItems);
}

TEST(OrderedPipeline, ThreadsAreBounded) {
  EXPECT_EQ(WorkingThreads(3), 3);
  EXPECT_GE(WorkingThreads(0), 1);
  EXPECT_REFUSED(WorkingThreads(-1), "threads is -1, expected 0 to 256");
  EXPECT_REFUSED(WorkingThreads(100000), "threads is 100000, expected 0 to 256");
}

}  // namespace
}  // namespace treeformer::datasets
