#pragma once

// Time and memory of repeated work, on machines that other work shares: medians.

#include <cstdint>
#include <functional>

namespace bench {

// The median of one call, after one call that is not counted: 5 to 25 calls within about a second,
// three if a call is longer than that.  A first call of more than 20 s is the only one.
double MedianSeconds(const std::function<void()>& work);

// Gives freed memory back and forgets the process's peak of resident memory, where the system can.
void ResetPeakMemory();
int64_t PeakMemoryBytes();

}  // namespace bench
