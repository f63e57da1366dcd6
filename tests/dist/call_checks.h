#pragma once

// What every Communicator must do besides sums and broadcasts of the whole group: parts, messages,
// and groups.  In host memory and on GPUs; whole numbers, so that `==` is right.

#include <algorithm>
#include <memory>
#include <numeric>
#include <vector>

#include "dist/communicator.h"
#include "tests/dist/rank_memory.h"

namespace treeformer::testing_util {

template <typename T>
void CheckReduceScatterOf(dist::Communicator& comm, Memory& memory) {
  const int rank = comm.rank(), size = comm.size();
  for (int64_t count : {0, 1, 37, 1025}) {
    const auto expected = [&](int64_t i) { return ElementOfSum(size, rank * count + i); };
    const Array<T> data(memory, size * count, rank), part(memory, count);
    comm.ReduceScatterSum(part.view(), data.view(), memory.stream());
    part.Expect(expected, "a part of a sum");
    const Out own = data.part(rank * count, (rank + 1) * count);
    comm.StartReduceScatterSum(own, data.view(), memory.stream()).Wait();
    const Array<T> all(memory, size * count);
    comm.AllGather(all.view(), own, memory.stream());
    all.ExpectSum(size, "the parts of a sum in place");
  }
}

template <typename T>
void CheckAllGatherOf(dist::Communicator& comm, Memory& memory) {
  const int rank = comm.rank(), size = comm.size();
  for (int64_t count : {0, 1, 37, 1025}) {
    const auto expected = [&](int64_t i) { return ElementOfRank(i / count, i % count); };
    const Array<T> part(memory, count, rank), all(memory, size * count);
    comm.AllGather(all.view(), part.view(), memory.stream());
    all.Expect(expected, "an all-gather");
    const Array<T> in_place(memory, size * count);
    const int64_t begin = rank * count;
    in_place.Fill(begin, begin + count, [&](int64_t i) { return ElementOfRank(rank, i - begin); });
    const Out own = in_place.part(begin, begin + count);
    comm.StartAllGather(in_place.view(), own, memory.stream()).Wait();
    in_place.Expect(expected, "an all-gather in place");
  }
}

// Each rank sends (from + 2 to) % 4 * factor elements to each; none at all with factor 0.
template <typename T>
void CheckAllToAllOf(dist::Communicator& comm, Memory& memory) {
  const int rank = comm.rank(), size = comm.size();
  for (int64_t factor : {0, 1, 129}) {
    const auto count = [&](int from, int to) { return (from + 2 * to) % 4 * factor; };
    const auto element = [](int from, int to, int64_t i) {
      return ElementOfRank(3 * from + 5 * to, i);
    };
    std::vector<int64_t> sent_counts, received_counts, sent_values, received_values;
    for (int other = 0; other < size; ++other) {
      sent_counts.push_back(count(rank, other));
      received_counts.push_back(count(other, rank));
      for (int64_t i = 0; i < count(rank, other); ++i) {
        sent_values.push_back(element(rank, other, i));
      }
      for (int64_t i = 0; i < count(other, rank); ++i) {
        received_values.push_back(element(other, rank, i));
      }
    }
    const Array<T> sent(memory, std::ssize(sent_values));
    const Array<T> received(memory, std::ssize(received_values));
    sent.Fill(0, std::ssize(sent_values), [&](int64_t i) { return sent_values[i]; });
    comm.AllToAll(received.view(), received_counts, sent.view(), sent_counts, memory.stream());
    received.Expect([&](int64_t i) { return received_values[i]; }, "an all-to-all");
  }
}

// Both ways round the ring at once, all sends before all receives or after; and several messages
// of different lengths from one rank to another, which keep their order.
template <typename T>
void CheckMessagesOf(dist::Communicator& comm, Memory& memory) {
  const int rank = comm.rank(), size = comm.size();
  if (size == 1) return;
  const int next = (rank + 1) % size, previous = (rank + size - 1) % size;
  comm.Connect({next, previous});
  for (int64_t count : {0, 1, 1025}) {
    const Array<T> up(memory, count, rank), down(memory, 2 * count, rank + 1);
    const Array<T> from_previous(memory, count), from_next(memory, 2 * count);
    std::vector<dist::Request> requests;
    const auto send = [&] {
      requests.push_back(comm.StartSend(up.view(), next, memory.stream()));
      requests.push_back(comm.StartSend(down.view(), previous, memory.stream()));
    };
    if (rank % 2 == 0) send();
    requests.push_back(comm.StartReceive(from_previous.view(), previous, memory.stream()));
    requests.push_back(comm.StartReceive(from_next.view(), next, memory.stream()));
    if (rank % 2 != 0) send();
    if (rank % 3 == 0) std::ranges::reverse(requests);
    for (dist::Request& request : requests) request.Wait();
    // with two ranks both come from one, the first that it started first
    from_previous.ExpectRank(previous, "a message from the rank before");
    from_next.ExpectRank(next + 1, "a message from the rank after");
  }
}

// The last rank sends to the first, which waits in calls that block.
template <typename T>
void CheckBlockingMessagesOf(dist::Communicator& comm, Memory& memory) {
  const int last = comm.size() - 1;
  if (last == 0) return;
  for (int64_t count : {1, 37, 1025}) {
    const Array<T> data(memory, count, comm.rank());
    if (comm.rank() == last) comm.Send(data.view(), /*to=*/0, memory.stream());
    if (comm.rank() == 0) comm.Receive(data.view(), /*from=*/last, memory.stream());
    data.ExpectRank(comm.rank() == 0 ? last : comm.rank(), "a blocking message");
  }
}

template <typename T>
void CheckMovesOf(dist::Communicator& comm, Memory& memory) {
  CheckAllGatherOf<T>(comm, memory);
  CheckAllToAllOf<T>(comm, memory);
  CheckMessagesOf<T>(comm, memory);
  CheckBlockingMessagesOf<T>(comm, memory);
}

template <typename T>
void ExpectGroupSum(dist::Communicator& group, Memory& memory, int64_t count) {
  const Array<T> sum(memory, count, group.rank());
  group.AllReduceSum(sum.view(), memory.stream());
  sum.ExpectSum(group.size(), "a sum of a group");
}

// Even and odd ranks in reverse order, and their halves; the last rank in no group at all.
inline void CheckGroups(dist::Communicator& comm, Memory& memory) {
  const int rank = comm.rank(), size = comm.size();
  const auto parity = comm.Split(/*colour=*/rank % 2, /*key=*/-rank, "parity");
  const int members = (size + 1 - rank % 2) / 2;
  EXPECT_EQ(parity->name(), "parity");
  EXPECT_EQ(parity->size(), members);
  EXPECT_EQ(parity->rank(), members - 1 - rank / 2);
  ExpectGroupSum<float>(*parity, memory, 37);
  CheckMessagesOf<int32_t>(*parity, memory);

  const auto half = parity->Split(parity->rank() < members / 2, /*key=*/0, "half");
  EXPECT_EQ(half->size(), parity->rank() < members / 2 ? members / 2 : members - members / 2);
  ExpectGroupSum<double>(*half, memory, 5);
  CheckAllToAllOf<float>(*half, memory);

  const bool is_last = rank == size - 1;
  const auto others = comm.Split(is_last ? dist::Communicator::kNoGroup : 7, rank, "others");
  EXPECT_EQ(others == nullptr, is_last);
  if (others) ExpectGroupSum<int32_t>(*others, memory, 3);
}

// Rows and columns of a grid two ranks wide, waited for in another order than started.
inline void CheckTwoGroupsAtOnce(dist::Communicator& comm, Memory& memory) {
  const int rank = comm.rank();
  const auto row = comm.Split(rank / 2, rank, "row");
  const auto column = comm.Split(rank % 2, rank, "column");
  for (int64_t count : {1, 1025}) {
    const Array<float> of_row(memory, count, row->rank());
    const Array<float> of_column(memory, count, column->rank()), of_all(memory, count, rank);
    auto row_sum = row->StartAllReduceSum(of_row.view(), memory.stream());
    auto column_sum = column->StartAllReduceSum(of_column.view(), memory.stream());
    auto sum = comm.StartAllReduceSum(of_all.view(), memory.stream());
    sum.Wait();
    while (!row_sum.Test()) {
    }
    column_sum.Wait();
    of_row.ExpectSum(row->size(), "a sum of a row");
    of_column.ExpectSum(column->size(), "a sum of a column");
    of_all.ExpectSum(comm.size(), "a sum of all");
  }
}

inline void CheckCalls(dist::Communicator& comm, Memory& memory) {
  CheckMovesOf<float>(comm, memory);
  CheckMovesOf<double>(comm, memory);
  CheckMovesOf<BFloat16>(comm, memory);
  CheckMovesOf<int32_t>(comm, memory);
  CheckReduceScatterOf<float>(comm, memory);
  CheckReduceScatterOf<double>(comm, memory);
  CheckReduceScatterOf<int32_t>(comm, memory);
  CheckGroups(comm, memory);
  CheckTwoGroupsAtOnce(comm, memory);
}

}  // namespace treeformer::testing_util
