#pragma once

// Time and memory of repeated work, on machines that other work shares: medians.

#include <cstdint>
#include <functional>

namespace bench {

// The median of one call, after one call that is not counted: 5 to 25 calls within about a second,
// fewer if a call is longer than that, one if it is longer than 10 s.
double MedianSeconds(const std::function<void()>& work);

// Gives freed memory back and forgets the process's peak of resident memory, where the system can.
void ResetPeakMemory();
int64_t PeakMemoryBytes();

}  // namespace bench
