#pragma once

// While it lives, a parallel region that this thread begins has one thread.  It stands around every
// call of oneDNN.
//
// oneDNN's own threads are never used: for some shapes they cut the sum over k by their number, so
// that the bits would depend on it; and where OpenMP grants fewer threads than oneDNN counts on
// (OMP_DYNAMIC, OMP_THREAD_LIMIT), its result is wrong.

#include <omp.h>

namespace treeformer::cpu {

class SingleThread {
 public:
  SingleThread() : threads_(omp_get_max_threads()) { omp_set_num_threads(1); }
  ~SingleThread() { omp_set_num_threads(threads_); }
  SingleThread(const SingleThread&) = delete;

 private:
  const int threads_;  // of regions begun by this thread
};

}  // namespace treeformer::cpu
