#pragma once

// What NCCL's communicator must do, on a GPU or on a simulated one.

#include <algorithm>

#include "dist/gradient_reducer.h"
#include "tests/dist/call_checks.h"
#include "tests/dist/collectives.h"
#include "tests/dist/rank_memory.h"

namespace treeformer::testing_util {

template <typename T>
void CheckGpuCollectivesOf(dist::Communicator& comm, Memory& gpu) {
  const int rank = comm.rank(), size = comm.size();
  for (int64_t count : {0, 1, 37, 1025}) {
    const Array<T> sum(gpu, count, rank);
    comm.AllReduceSum(sum.view(), gpu.stream());
    sum.ExpectSum(size, "a sum");

    const Array<T> first(gpu, count, rank), second(gpu, count, rank), third(gpu, count, rank);
    auto first_sum = comm.StartAllReduceSum(first.view(), gpu.stream());
    auto second_sum = comm.StartAllReduceSum(second.view(), gpu.stream());
    comm.StartAllReduceSum(third.view(), gpu.stream());
    second_sum.Wait();
    second_sum.Wait();
    second.ExpectSum(size, "a sum that was waited for");
    while (!first_sum.Test()) {
    }
    EXPECT_TRUE(first_sum.Test());
    first_sum.Wait();
    first.ExpectSum(size, "a sum that was tested");
    third.ExpectSum(size, "a sum whose request is gone");

    for (int root : {0, size - 1}) {
      const Array<T> sent(gpu, count, rank);
      comm.Broadcast(sent.view(), root, gpu.stream());
      sent.ExpectRank(root, "a broadcast");
      // what is given to the stream later comes later
      comm.AllReduceSum(sent.view(), gpu.stream());
      sent.Write(rank, 0, count);
      comm.Broadcast(sent.view(), root, gpu.stream());
      sent.Write(rank + 1, 0, count);
      sent.ExpectRank(rank + 1, "a write after a broadcast");
    }
  }
}

// Gradients are written piece by piece, each just before it is reported.
inline void CheckReducerOnGpu(dist::Communicator& comm, Memory& gpu) {
  constexpr int64_t kCount = 10007, kPiece = 777;
  const Array<float> gradients(gpu, kCount);
  dist::GradientReducer reducer(comm, gradients.view(), /*bucket_bytes=*/1 << 12);
  for (int step = 0; step < 2; ++step) {
    for (int64_t end = kCount; end > 0; end -= kPiece) {
      const int64_t begin = std::max<int64_t>(0, end - kPiece);
      gradients.Write(comm.rank() + step, begin, end);
      reducer.Ready(begin, end, gpu.stream());
    }
    reducer.Wait(gpu.stream());
    gradients.Expect(
        [&](int64_t i) {
          return ElementOfSum(comm.size() + step, i) - (step > 0 ? ElementOfRank(0, i) : 0);
        },
        "a gradient");
  }
}

inline void CheckGpuCollectives(dist::Communicator& comm, Memory& gpu) {
  CheckGpuCollectivesOf<float>(comm, gpu);
  CheckGpuCollectivesOf<double>(comm, gpu);
  CheckGpuCollectivesOf<BFloat16>(comm, gpu);
  CheckGpuCollectivesOf<int32_t>(comm, gpu);
  CheckReducerOnGpu(comm, gpu);
  CheckCalls(comm, gpu);
  CheckCollectives(comm);  // of buffers in host memory
}

}  // namespace treeformer::testing_util
