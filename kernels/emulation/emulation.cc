#include "kernels/emulation/emulation.h"

#include <dlfcn.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <map>
#include <string>

#if defined(__SANITIZE_ADDRESS__)
#include <sanitizer/common_interface_defs.h>
#endif

namespace treeformer {

// Saves the callee's registers (System V x86-64 ABI) on the stack, keeps the stack pointer in
// *from, and goes on where the stack `to` was left.
extern "C" void emulation_switch_stack(void** from, void* to);
asm(R"(
.text
.globl emulation_switch_stack
.type emulation_switch_stack, @function
emulation_switch_stack:
  pushq %rbp
  pushq %rbx
  pushq %r12
  pushq %r13
  pushq %r14
  pushq %r15
  movq %rsp, (%rdi)
  movq %rsi, %rsp
  popq %r15
  popq %r14
  popq %r13
  popq %r12
  popq %rbx
  popq %rbp
  ret
.size emulation_switch_stack, .-emulation_switch_stack
)");

namespace emulation {
namespace {

constexpr int kWarp = 32;
constexpr int64_t kStackBytes = 256 * 1024;  // pages that are never touched cost nothing
constexpr int64_t kSharedAlignment = 1024;
constexpr int64_t kGuardBytes = 1024;  // behind the shared memory
constexpr char kPoison = static_cast<char>(0xff);

thread_local Block* current = nullptr;

bool SamePlace(const Place& a, const Place& b) {
  return a.line() == b.line() && a.column() == b.column() &&
         std::strcmp(a.file_name(), b.file_name()) == 0;
}
std::string TextOf(const Place& place) {
  return std::string(place.file_name()) + ":" + std::to_string(place.line());
}

}  // namespace

struct Block::Fibre {
  struct Copy {
    void* shared;
    const void* global;  // null: zeros
    int bytes;

    void Arrive() const {
      if (global != nullptr) {
        std::memcpy(shared, global, bytes);
      } else {
        std::memset(shared, 0, bytes);
      }
    }
  };

  void* stack_pointer = nullptr;
  std::unique_ptr<char[]> stack;
  const char* waits_at = nullptr;            // null: runs or could run
  std::vector<std::vector<Copy>> groups{1};  // the last one is still open
  // The sanitizers' view of the stack.
  const void* bottom = nullptr;
  size_t bytes = 0;
  void* sanitizer = nullptr;
};

Block& Current() {
  CHECK(current != nullptr) << "a primitive of kernels is called outside of a launch";
  return *current;
}

std::vector<Grid> ShuffledBlocks(Grid grid, unsigned seed) {
  std::vector<Grid> blocks;
  for (int z = 0; z < grid.z; ++z) {
    for (int y = 0; y < grid.y; ++y) {
      for (int x = 0; x < grid.x; ++x) blocks.push_back({x, y, z});
    }
  }
  std::shuffle(blocks.begin(), blocks.end(), std::mt19937(seed));
  return blocks;
}

void RecordLaunch(const void* kernel, int threads, int64_t shared_bytes) {
  static const char* const path = std::getenv("EMULATED_LAUNCHES");
  if (path == nullptr) return;
  Dl_info symbol;
  if (dladdr(kernel, &symbol) == 0 || symbol.dli_saddr != kernel) return;
  std::ofstream(path, std::ios::app)
      << symbol.dli_sname << ' ' << threads << ' ' << shared_bytes << '\n';
}

Block::Block(Grid grid, int threads, int64_t shared_bytes, const Options& options)
    : grid_(grid),
      threads_(threads),
      shared_bytes_(shared_bytes),
      options_(options),
      random_(options.seed),
      shared_store_(kSharedAlignment + shared_bytes + kGuardBytes),
      fibres_(threads),
      main_(std::make_unique<Fibre>()),
      exchanges_(threads / kWarp),
      warp_meetings_(threads / kWarp),
      barriers_(threads),
      warp_barriers_(threads) {
  CHECK(threads > 0 && threads % kWarp == 0 && threads <= 1024) << threads << " threads";
  CHECK(grid.x > 0 && grid.y > 0 && grid.z > 0) << "a launch of no blocks";
  CHECK_LE(shared_bytes, 227 * 1024) << "more shared memory than an H100 has";
  CHECK(current == nullptr) << "a launch inside of a kernel";
  PlaceShared();
  for (Fibre& fibre : fibres_) {
    fibre.stack.reset(new char[kStackBytes]);
    fibre.bottom = fibre.stack.get();
    fibre.bytes = kStackBytes;
    fibre.sanitizer = MakeFibre();
  }
  main_->sanitizer = ThisFibre();
}

Block::~Block() {
  Acquire(&end_);
  for (Fibre& fibre : fibres_) DestroyFibre(fibre.sanitizer);
}

void Block::PlaceShared() {
  const auto address = reinterpret_cast<uintptr_t>(shared_store_.data());
  shared_ = shared_store_.data() + (kSharedAlignment - address % kSharedAlignment);
}

void Block::Run(Grid index, const std::function<void()>& kernel) {
  emulation::Release(&begin_);
  const Unseen unseen;
  if (kFindsRaces) {  // memory that no thread of another block has used
    shared_store_ = std::vector<char>(shared_store_.size());
    PlaceShared();
  }
  index_ = index;
  kernel_ = &kernel;
  at_barrier_ = returned_ = 0;
  std::fill(shared_store_.begin(), shared_store_.end(), kPoison);
  for (Exchange& exchange : exchanges_) exchange.kind = nullptr, exchange.arrived = 0;
  ready_.clear();
  for (int thread = 0; thread < threads_; ++thread) {
    Fibre& fibre = fibres_[thread];
    fibre.waits_at = nullptr;
    fibre.groups.assign(1, {});
    // As emulation_switch_stack leaves a stack: six registers, where to go on, nowhere to return.
    auto top = reinterpret_cast<uintptr_t>(fibre.stack.get() + kStackBytes);
    void** stack = reinterpret_cast<void**>(top & ~uintptr_t{15});
    *--stack = nullptr;
    *--stack = reinterpret_cast<void*>(&Block::Entry);
    for (int i = 0; i < 6; ++i) *--stack = nullptr;
    fibre.stack_pointer = stack;
    ready_.push_back(thread);
  }
  current = this;
  running_ = TakeReady();
  SwitchTo(*main_, fibres_[running_]);
  current = nullptr;
  for (const char* byte = shared_ + shared_bytes_; byte < shared_ + shared_bytes_ + kGuardBytes;
       ++byte) {
    CHECK_EQ(*byte, kPoison) << "written " << byte - (shared_ + shared_bytes_)
                             << " bytes past the shared memory";
  }
}

void Block::SwitchTo(Fibre& from, Fibre& to) {
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_start_switch_fiber(&from.sanitizer, to.bottom, to.bytes);
#endif
  void *fibre, *stack_pointer;
  {
    const Unseen unseen;
    fibre = to.sanitizer;
    stack_pointer = to.stack_pointer;
  }
  EnterFibre(fibre);
  emulation_switch_stack(&from.stack_pointer, stack_pointer);
#if defined(__SANITIZE_ADDRESS__)
  __sanitizer_finish_switch_fiber(from.sanitizer, nullptr, nullptr);
#endif
}

void Block::Entered() {
#if defined(__SANITIZE_ADDRESS__)
  // The first fibre of a block comes from the host thread's own stack: where that is, we learn
  // here.
  const void* bottom;
  size_t bytes;
  __sanitizer_finish_switch_fiber(nullptr, &bottom, &bytes);
  if (main_->bottom == nullptr) main_->bottom = bottom, main_->bytes = bytes;
#endif
}

void Block::Entry() {
  current->Entered();
  Acquire(&current->begin_);
  current->RunThread();
}

void Block::RunThread() {
  (*kernel_)();
  Fibre* const fibre = &fibres_[running_];
  Fibre* next = main_.get();
  {
    const Unseen unseen;
    fibre->waits_at = "return";
    ++returned_;
    if (ready_.empty() && returned_ < threads_) Deadlock();
    if (returned_ < threads_) {
      running_ = TakeReady();
      next = &fibres_[running_];
    }
  }
  emulation::Release(&end_);
  SwitchTo(*fibre, *next);
  LOG(FATAL) << "a thread that has returned goes on";
}

int Block::TakeReady() {
  const size_t count = ready_.size();
  size_t chosen = random_() % count;
  if (options_.seed % 2 == 0) {
    const auto of_warp = [&](size_t i) { return ready_[i % count] / kWarp == running_ / kWarp; };
    size_t i = chosen;
    while (i < chosen + count && !of_warp(i)) ++i;
    if (i < chosen + count) chosen = i % count;
  }
  std::swap(ready_[chosen], ready_.back());
  const int thread = ready_.back();
  ready_.pop_back();
  return thread;
}

void Block::Wait(const char* at) {
  const int me = running_;
  fibres_[me].waits_at = at;
  if (ready_.empty()) Deadlock();
  running_ = TakeReady();
  if (running_ != me) SwitchTo(fibres_[me], fibres_[running_]);
  fibres_[me].waits_at = nullptr;
}

void Block::Barrier() {
  char* meeting;
  {
    const Unseen unseen;
    meeting = &meetings_[barriers_[running_]++ % 2];
  }
  emulation::Release(meeting);
  {
    const Unseen unseen;
    if (++at_barrier_ == threads_) {
      at_barrier_ = 0;
      for (int thread = 0; thread < threads_; ++thread) ready_.push_back(thread);
    }
    Wait("BlockBarrier");
  }
  emulation::Acquire(meeting);
}

void* Block::WarpMeeting() {
  const Unseen unseen;
  return &warp_meetings_[running_ / kWarp][warp_barriers_[running_]++ % 2];
}

bool Block::Arrive(const char* kind, const Place& place) {
  Exchange& exchange = exchanges_[running_ / kWarp];
  const int lane = running_ % kWarp;
  if (exchange.arrived == 0) {
    exchange.kind = kind, exchange.place = place, exchange.first_lane = lane;
  }
  CHECK(std::strcmp(exchange.kind, kind) == 0 && SamePlace(exchange.place, place))
      << "warp " << running_ / kWarp << " diverges: lane " << exchange.first_lane << " is at "
      << exchange.kind << ", " << TextOf(exchange.place) << "; lane " << lane << " at " << kind
      << ", " << TextOf(place);
  if (++exchange.arrived == kWarp) return true;
  Wait(kind);
  return false;
}

void Block::Resume() {
  const int warp = running_ / kWarp;
  exchanges_[warp].arrived = 0;
  for (int lane = 0; lane < kWarp; ++lane) ready_.push_back(warp * kWarp + lane);
  Wait(exchanges_[warp].kind);
}

void Block::Deadlock() const {
  std::map<std::string, int> waiting;
  for (const Fibre& fibre : fibres_) ++waiting[fibre.waits_at];
  std::string report;
  for (const auto& [at, count] : waiting) {
    report += "\n  " + std::to_string(count) + " threads at " + at;
  }
  LOG(FATAL) << "deadlock in block " << index_.x << ", " << index_.y << ", " << index_.z << ":"
             << report;
  std::abort();
}

void Block::CheckShared(const void* address, int64_t bytes, const char* what) const {
  const char* begin = static_cast<const char*>(address);
  CHECK(shared_ <= begin && begin + bytes <= shared_ + shared_bytes_)
      << what << " at byte " << begin - shared_ << " of " << shared_bytes_ << " of shared memory";
  CHECK_EQ((begin - shared_) % bytes, 0) << what << " is not aligned";
}

void Block::CopyAsync(void* shared, const void* global, int bytes, bool copies) {
  CheckShared(shared, bytes, "CopyAsync");
  CHECK_EQ(reinterpret_cast<uintptr_t>(global) % bytes, 0u) << "CopyAsync is not aligned";
  const Fibre::Copy copy{shared, copies ? global : nullptr, bytes};
  if (options_.copies == Copies::kLazy) {
    std::memset(shared, kPoison, bytes);
    const Unseen unseen;
    fibres_[running_].groups.back().push_back(copy);
  } else {
    copy.Arrive();
  }
}

void Block::CommitCopies() {
  const Unseen unseen;
  fibres_[running_].groups.emplace_back();
}

void Block::WaitCopies(int pending) {
  auto& groups = fibres_[running_].groups;
  while (static_cast<int>(groups.size()) - 1 > pending) {
    for (const Fibre::Copy& copy : groups.front()) copy.Arrive();
    const Unseen unseen;
    groups.erase(groups.begin());
  }
}

// 32 banks of 4 bytes: eight rows of 16 bytes are read at once when they fill all of them.
void Block::CountBankConflicts(const char* const* row) {
  for (int tile = 0; tile < 4; ++tile) {
    unsigned banks = 0;
    for (int r = 0; r < 8; ++r) banks |= 1u << (row[8 * tile + r] - shared_) / 16 % 8;
    bank_conflicts_ += banks != 0xff;
  }
}

}  // namespace emulation

}  // namespace treeformer
