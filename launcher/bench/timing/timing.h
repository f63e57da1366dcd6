#pragma once

// Time and memory of repeated work, on machines that other work shares: medians.

#include <cstdint>
#include <functional>

#include "kernels/runtime/context.h"

namespace treeformer::bench {

// The median of one call, after one call that is not counted: 5 to 25 calls within about a second,
// three if a call is longer than that.  A first call of more than 20 s is the only one.
double MedianSeconds(const std::function<void()>& work);

// The same where `work` is given to a stream: the median, over 7 groups of calls (3 if a call is
// longer than 0.3 s), of a call's share of the wall time from an idle stream to an idle stream.  A
// group takes 10 ms or more, against which waiting for the stream (some 10 us) is little; one group
// before them is not counted.
constexpr double kGroupSeconds = 0.01;
double MedianSecondsOnStream(Context& ctx, const std::function<void()>& work,
                             double group_seconds = kGroupSeconds);

// Gives freed memory back and forgets the process's peak of resident memory, where the system can.
void ResetPeakMemory();
int64_t PeakMemoryBytes();

}  // namespace treeformer::bench
