#pragma once

// What the thread sanitizer is told of emulated threads (emulation.h): each is a fibre of its own,
// and nothing orders the memory of two of them but BlockBarrier, WarpBarrier, and the begin and the
// end of the launch.  So a barrier that is missing is a data race wherever a test runs over it, in
// whatever order the threads ran.  Without that sanitizer all of this is nothing.

#if defined(__SANITIZE_THREAD__)

#include <sanitizer/tsan_interface.h>

extern "C" {
void AnnotateIgnoreReadsBegin(const char* file, int line);
void AnnotateIgnoreReadsEnd(const char* file, int line);
void AnnotateIgnoreWritesBegin(const char* file, int line);
void AnnotateIgnoreWritesEnd(const char* file, int line);
}

namespace treeformer::emulation {

constexpr bool kFindsRaces = true;

// What was released to `place` happened before what follows an Acquire of it.
inline void Release(void* place) { __tsan_release(place); }
inline void Acquire(void* place) { __tsan_acquire(place); }

// The emulation's own accesses, for as long as it lives.
class Unseen {
 public:
  Unseen() {
    AnnotateIgnoreReadsBegin(__FILE__, __LINE__);
    AnnotateIgnoreWritesBegin(__FILE__, __LINE__);
  }
  Unseen(const Unseen&) = delete;
  ~Unseen() {
    AnnotateIgnoreWritesEnd(__FILE__, __LINE__);
    AnnotateIgnoreReadsEnd(__FILE__, __LINE__);
  }
};

inline void* MakeFibre() { return __tsan_create_fiber(0); }
inline void* ThisFibre() { return __tsan_get_current_fiber(); }
inline void DestroyFibre(void* fibre) { __tsan_destroy_fiber(fibre); }
inline void EnterFibre(void* fibre) {
  __tsan_switch_to_fiber(fibre, __tsan_switch_to_fiber_no_sync);
}

}  // namespace treeformer::emulation

#else

namespace treeformer::emulation {

constexpr bool kFindsRaces = false;

inline void Release(void*) {}
inline void Acquire(void*) {}

class Unseen {
 public:
  Unseen() {}  // not trivial: the variable is used
};

inline void* MakeFibre() { return nullptr; }
inline void* ThisFibre() { return nullptr; }
inline void DestroyFibre(void*) {}
inline void EnterFibre(void*) {}

}  // namespace treeformer::emulation

#endif
