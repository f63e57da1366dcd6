#pragma once

// What every Communicator must do, in integer-valued numbers, so that sums are exact.

#include <gtest/gtest.h>

#include <vector>

#include "dist/communicator.h"
#include "tests/dist/call_checks.h"

namespace treeformer::testing_util {

// Each rank r holds r + i at place i.
template <typename T>
std::vector<T> OfRank(int rank, int64_t count) {
  std::vector<T> values(count);
  for (int64_t i = 0; i < count; ++i) values[i] = static_cast<T>(rank + i);
  return values;
}

template <typename T>
void ExpectSum(const std::vector<T>& values, int size) {
  const int64_t of_ranks = size * (size - 1) / 2;
  for (size_t i = 0; i < values.size(); ++i) {
    EXPECT_EQ(values[i], static_cast<T>(of_ranks + size * static_cast<int64_t>(i))) << "at " << i;
  }
}

template <typename T>
void CheckCollectivesOf(dist::Communicator& comm) {
  for (int64_t count : {0, 1, 37, 5000}) {
    std::vector<T> values = OfRank<T>(comm.rank(), count);
    comm.AllReduceSum(Whole(values), nullptr);
    ExpectSum(values, comm.size());

    std::vector<T> first = OfRank<T>(comm.rank(), count);
    std::vector<T> second = OfRank<T>(comm.rank(), 2 * count);
    auto first_sum = comm.StartAllReduceSum(Whole(first), nullptr);
    auto second_sum = comm.StartAllReduceSum(Whole(second), nullptr);
    second_sum.Wait();
    while (!first_sum.Test()) {
    }
    EXPECT_TRUE(first_sum.Test());
    ExpectSum(first, comm.size());
    ExpectSum(second, comm.size());

    for (int root : {0, comm.size() - 1}) {
      std::vector<T> sent = OfRank<T>(comm.rank(), count);
      comm.Broadcast(Whole(sent), root, nullptr);
      EXPECT_EQ(sent, OfRank<T>(root, count));
    }
  }
}

inline void CheckCollectives(dist::Communicator& comm) {
  CheckCollectivesOf<float>(comm);
  CheckCollectivesOf<double>(comm);
  CheckCollectivesOf<int32_t>(comm);
  EXPECT_EQ(comm.Sum(comm.rank() + 1), comm.size() * (comm.size() + 1) / 2);
  EXPECT_EQ(comm.Max(-comm.rank()), 0);
  EXPECT_EQ(comm.AllGather(comm.rank()), OfRank<double>(0, comm.size()));
  std::vector<double> sums = {1, 10.0 * comm.rank(), -1};
  comm.Sum(sums);
  const double ranks = comm.size();
  EXPECT_EQ(sums, (std::vector<double>{ranks, 10 * ranks * (ranks - 1) / 2, -ranks}));
  comm.Barrier();
  HostMemory memory;
  CheckCalls(comm, memory);
}

// Values whose sum depends on the order: all ranks must still hold the same bits.
inline void CheckSameBitsOnAllRanks(dist::Communicator& comm) {
  std::vector<float> values(4099);
  for (size_t i = 0; i < values.size(); ++i) {
    values[i] = 1.0f / static_cast<float>(1 + (i * 7919 + comm.rank() * 104729) % 10007);
  }
  comm.AllReduceSum(Whole(values), nullptr);
  std::vector<float> of_root = values;
  comm.Broadcast(Whole(of_root), /*root=*/0, nullptr);
  EXPECT_EQ(values, of_root);
}

}  // namespace treeformer::testing_util
