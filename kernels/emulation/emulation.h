#pragma once

// Kernels on the host: the primitives of device.cuh, and Launch.  For tests without a GPU.
//
// Every thread of a block is a fibre; it runs until a barrier or a collective, where another one
// goes on: with an odd seed any, chosen at random, so that the warps stay close together; with an
// even one a lane of the same warp while there is one, so that a warp gets far ahead of the others.
// Blocks run one after the other, in random order.  Shared memory is filled with 0xff (NaN, -1) at
// the start of a block.  The bytes of CopyAsync
//   kEager   arrive at once: overwriting what is still being read shows;
//   kLazy    arrive in WaitCopies, 0xff until then: reading too early shows.
// Fatal: lanes of one warp at different collectives, or at the same one in different places;
// threads that wait for others that never come or have returned; writing past the shared memory;
// copies and loads that are not aligned. What it shows under the thread sanitizer alone
// (emulation_races.h): a race between two barriers of which no order gives wrong values; a
// WarpBarrier that is missing where another collective stands. What it does not show: timing, and
// the rounding of the GPU's own approximations.

#if !defined(__x86_64__)
#error "the emulation of kernels switches stacks in x86-64 assembly"
#endif

#include <glog/logging.h>

#include <array>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <memory>
#include <random>
#include <source_location>
#include <type_traits>
#include <vector>

#include "kernels/emulation/emulation_races.h"

#define DEVICE inline
#define KERNEL(...) inline void

namespace treeformer::emulation {

struct Grid {  // extents in blocks
  int x = 1, y = 1, z = 1;
};

enum class Copies { kEager, kLazy };

using Place = std::source_location;  // of a call

struct Options {
  unsigned seed = 1;  // of the order of threads and blocks; even: warp by warp
  Copies copies = Copies::kEager;
};

// One block that runs.  Reused for all blocks of a launch.
class Block {
 public:
  Block(Grid grid, int threads, int64_t shared_bytes, const Options& options);
  ~Block();

  void Run(Grid index, const std::function<void()>& kernel);

  // For the thread that runs now.
  int thread() const { return running_; }
  int threads() const { return threads_; }
  Grid index() const { return index_; }
  Grid grid() const { return grid_; }
  char* shared_memory() const { return shared_; }

  void Barrier();
  // The warp's sides of a WarpBarrier, for Release and Acquire.
  void* WarpMeeting();
  void CopyAsync(void* shared, const void* global, int bytes, bool copies);
  void CommitCopies();
  void WaitCopies(int pending);
  void CountBankConflicts(const char* const* row);
  int64_t bank_conflicts() const { return bank_conflicts_; }
  void CheckShared(const void* address, int64_t bytes, const char* what) const;

  // Every lane gives `in` and returns once finish(all in, all out) has run, with its own `out`.
  template <typename Output, typename Input, typename Finish>
  Output Collective(const char* kind, const Place& place, const Input& in, const Finish& finish) {
    static_assert(sizeof(Input) <= kSlotBytes && sizeof(Output) <= kSlotBytes);
    static_assert(std::is_trivially_copyable_v<Input> && std::is_trivially_copyable_v<Output>);
    const Unseen unseen;
    const int lane = running_ % 32;
    Exchange& exchange = exchanges_[running_ / 32];
    std::memcpy(exchange.in + lane * sizeof(Input), &in, sizeof(Input));
    if (Arrive(kind, place)) {
      Input all_in[32];
      Output all_out[32] = {};
      std::memcpy(all_in, exchange.in, sizeof(all_in));
      finish(all_in, all_out);
      std::memcpy(exchange.out, all_out, sizeof(all_out));
      Resume();
    }
    // Until this lane goes on, none of the next collective can finish and overwrite `out`.
    Output out;
    std::memcpy(&out, exchange.out + lane * sizeof(Output), sizeof(Output));
    return out;
  }

 private:
  static constexpr int kSlotBytes = 64;

  struct Fibre;
  struct Exchange {  // of one warp
    const char* kind = nullptr;
    Place place;
    int first_lane = 0;  // that came
    int arrived = 0;
    char in[32 * kSlotBytes], out[32 * kSlotBytes];
  };

  // true: the last of the warp; the others have waited
  bool Arrive(const char* kind, const Place& place);
  void Resume();              // the warp's lanes go on, in random order
  void Wait(const char* at);  // another thread runs until this one is made ready
  int TakeReady();
  void SwitchTo(Fibre& from, Fibre& to);
  void Entered();  // first words of a fibre after a switch
  [[noreturn]] void RunThread();
  void PlaceShared();
  [[noreturn]] void Deadlock() const;
  static void Entry();

  Grid grid_, index_;
  int threads_;
  int64_t shared_bytes_;
  Options options_;
  std::mt19937 random_;
  std::vector<char> shared_store_;
  char* shared_;
  std::vector<Fibre> fibres_;
  std::unique_ptr<Fibre> main_;
  std::vector<Exchange> exchanges_;
  std::vector<int> ready_;  // threads that could run
  int running_ = 0;
  int at_barrier_ = 0;
  int returned_ = 0;
  int64_t bank_conflicts_ = 0;
  // For Release and Acquire: the launch's begin and end, and the last two barriers, which thread by
  // thread counts; the warps' barriers are theirs.
  char begin_ = 0, end_ = 0;
  std::array<char, 2> meetings_{};
  std::vector<std::array<char, 2>> warp_meetings_;
  std::vector<unsigned> barriers_, warp_barriers_;
  const std::function<void()>* kernel_ = nullptr;
};

Block& Current();  // of this host thread; fatal outside of a launch

// Blocks of the grid, in random order.
std::vector<Grid> ShuffledBlocks(Grid grid, unsigned seed);

struct Report {
  int64_t bank_conflicts = 0;  // tiles of LoadMatrix with two rows in the same four banks
};

// Where the environment names a file EMULATED_LAUNCHES, adds a line to it: kernel (its symbol; not
// of one in an unnamed namespace), threads, shared bytes.
void RecordLaunch(const void* kernel, int threads, int64_t shared_bytes);

template <typename... Parameters, typename... Arguments>
Report Launch(Grid grid, int threads, int64_t shared_bytes, const Options& options,
              void (*kernel)(Parameters...), const Arguments&... arguments) {
  RecordLaunch(reinterpret_cast<const void*>(kernel), threads, shared_bytes);
  const std::function<void()> run = [&] { kernel(arguments...); };
  Block block(grid, threads, shared_bytes, options);
  for (const Grid& index : ShuffledBlocks(grid, options.seed)) block.Run(index, run);
  return {block.bank_conflicts()};
}

// Loads and products of matrix fragments, as device.cuh says.
void LoadTiles(const char* const* row, bool transposed, uint32_t (*out)[4]);
struct MultiplyAddInput {
  uint32_t a[4], b[2];
  float c[4];
};
struct FourFloats {
  float c[4];
};
struct FourWords {
  uint32_t word[4];
};
void MultiplyAddWarp(const MultiplyAddInput* in, FourFloats* out);

}  // namespace treeformer::emulation

namespace treeformer::device {

inline int Thread() { return emulation::Current().thread(); }
inline int ThreadCount() { return emulation::Current().threads(); }
inline int BlockX() { return emulation::Current().index().x; }
inline int BlockY() { return emulation::Current().index().y; }
inline int BlockZ() { return emulation::Current().index().z; }
inline int GridX() { return emulation::Current().grid().x; }
inline int GridY() { return emulation::Current().grid().y; }
inline int GridZ() { return emulation::Current().grid().z; }

inline char* SharedMemory() { return emulation::Current().shared_memory(); }

// memcpy, as what lies there may have been written under another type.
template <typename T>
T Load(const void* address) {
  CHECK_EQ(reinterpret_cast<uintptr_t>(address) % sizeof(T), 0u) << "Load is not aligned";
  T value;
  std::memcpy(&value, address, sizeof(T));
  return value;
}
template <typename T>
void Store(void* address, const T& value) {
  CHECK_EQ(reinterpret_cast<uintptr_t>(address) % sizeof(T), 0u) << "Store is not aligned";
  std::memcpy(address, &value, sizeof(T));
}

inline int AtomicAdd(int* address, int value) {
  return __atomic_fetch_add(address, value, __ATOMIC_RELAXED);
}

inline void CopyAsync16(void* shared, const void* global, bool copies) {
  emulation::Current().CopyAsync(shared, global, 16, copies);
}
inline void CopyAsync4(void* shared, const void* global, bool copies) {
  emulation::Current().CopyAsync(shared, global, 4, copies);
}
inline void CommitCopies() { emulation::Current().CommitCopies(); }
template <int kPending>
void WaitCopies() {
  emulation::Current().WaitCopies(kPending);
}

inline void BlockBarrier() { emulation::Current().Barrier(); }
inline void WarpBarrier(const emulation::Place& place = emulation::Place::current()) {
  void* const meeting = emulation::Current().WarpMeeting();
  emulation::Release(meeting);
  emulation::Current().Collective<char>(
      "WarpBarrier", place, char{}, [](const char* in, char* out) { std::memcpy(out, in, 32); });
  emulation::Acquire(meeting);
}

template <typename T>
struct ShuffleInput {
  T value;
  int lane;
};
// Lanes outside [0, 32) keep their own value.
template <typename T>
T ShuffleFrom(const char* kind, const emulation::Place& place, T value, int lane) {
  const ShuffleInput<T> in{value, lane};
  return emulation::Current().Collective<T>(kind, place, in, [](const ShuffleInput<T>* in, T* out) {
    for (int l = 0; l < 32; ++l) {
      const int from = in[l].lane;
      out[l] = in[0 <= from && from < 32 ? from : l].value;
    }
  });
}
template <typename T>
T ShuffleXor(T value, int mask, const emulation::Place& place = emulation::Place::current()) {
  return ShuffleFrom("ShuffleXor", place, value, (Thread() % 32) ^ mask);
}
template <typename T>
T Shuffle(T value, int lane, const emulation::Place& place = emulation::Place::current()) {
  return ShuffleFrom("Shuffle", place, value, lane % 32);
}
template <typename T>
T ShuffleUp(T value, int distance, const emulation::Place& place = emulation::Place::current()) {
  return ShuffleFrom("ShuffleUp", place, value, Thread() % 32 - distance);
}
template <typename T>
T ShuffleDown(T value, int distance, const emulation::Place& place = emulation::Place::current()) {
  return ShuffleFrom("ShuffleDown", place, value, Thread() % 32 + distance);
}
inline uint32_t Ballot(bool predicate,
                       const emulation::Place& place = emulation::Place::current()) {
  return emulation::Current().Collective<uint32_t>("Ballot", place, predicate,
                                                   [](const bool* in, uint32_t* out) {
                                                     uint32_t bits = 0;
                                                     for (int l = 0; l < 32; ++l)
                                                       bits |= uint32_t{in[l]} << l;
                                                     for (int l = 0; l < 32; ++l) out[l] = bits;
                                                   });
}

inline void LoadTiles(const char* kind, const emulation::Place& place, uint32_t (&r)[4],
                      const void* row, bool transposed) {
  using emulation::FourWords;
  emulation::Current().CheckShared(row, 16, kind);
  if (emulation::kFindsRaces) {  // the row is read by the lane that names it
    for (int i = 0; i < 2; ++i) (void)static_cast<const volatile uint64_t*>(row)[i];
  }
  const auto load = [transposed](const char* const* rows, FourWords* out) {
    emulation::Current().CountBankConflicts(rows);
    emulation::LoadTiles(rows, transposed, reinterpret_cast<uint32_t(*)[4]>(out));
  };
  const FourWords words =
      emulation::Current().Collective<FourWords>(kind, place, static_cast<const char*>(row), load);
  std::memcpy(r, words.word, sizeof(r));
}
inline void LoadMatrix(uint32_t (&r)[4], const void* row,
                       const emulation::Place& place = emulation::Place::current()) {
  LoadTiles("LoadMatrix", place, r, row, /*transposed=*/false);
}
inline void LoadMatrixTransposed(uint32_t (&r)[4], const void* row,
                                 const emulation::Place& place = emulation::Place::current()) {
  LoadTiles("LoadMatrixTransposed", place, r, row, /*transposed=*/true);
}
inline void MultiplyAdd(float (&c)[4], const uint32_t (&a)[4], uint32_t b0, uint32_t b1,
                        const emulation::Place& place = emulation::Place::current()) {
  emulation::MultiplyAddInput in;
  std::memcpy(in.a, a, sizeof(a));
  in.b[0] = b0, in.b[1] = b1;
  std::memcpy(in.c, c, sizeof(c));
  const auto out = emulation::Current().Collective<emulation::FourFloats>(
      "MultiplyAdd", place, in, emulation::MultiplyAddWarp);
  std::memcpy(c, out.c, sizeof(c));
}

inline float Exp2(float x) { return exp2f(x); }
inline float Log2(float x) { return log2f(x); }
inline float Reciprocal(float x) { return 1 / x; }
inline float InverseSqrt(float x) { return 1 / sqrtf(x); }

inline float FloatOfBits(uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof(value));
  return value;
}
inline uint32_t RoundToBFloat16(float value) {
  uint32_t bits;
  std::memcpy(&bits, &value, sizeof(bits));
  if (std::isnan(value)) return 0x7fff;
  return (bits + 0x7fff + ((bits >> 16) & 1)) >> 16;
}
inline uint32_t PackBFloat16(float low, float high) {
  return RoundToBFloat16(low) | RoundToBFloat16(high) << 16;
}

}  // namespace treeformer::device
