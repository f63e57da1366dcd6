#include "kernels/emulation/emulated_device.h"

#include <sys/mman.h>
#include <unistd.h>

#include <cstring>
#include <deque>
#include <map>
#include <memory>
#include <set>
#include <vector>

#include "kernels/base/user_error.h"
#include "kernels/runtime/gpu_copy.h"

namespace treeformer::emulation {
namespace {

constexpr int64_t kAlignment = 256;  // bytes, as cudaMalloc
constexpr int kPoison = 0xff;

// Each allocation ends at the end of a page, and a page that nobody may touch follows.
class Memory {
 public:
  void* Allocate(int64_t bytes) {
    const int64_t page = sysconf(_SC_PAGESIZE);
    const int64_t aligned = (bytes + kAlignment - 1) / kAlignment * kAlignment;
    const int64_t usable = (aligned + page - 1) / page * page;
    void* pages = mmap(nullptr, usable + page, PROT_NONE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(pages != MAP_FAILED) << "out of memory: " << bytes << " bytes";
    char* data = static_cast<char*>(pages) + usable - aligned;
    pages_[data] = {static_cast<char*>(pages), usable, page};
    Protect(pages_[data], PROT_READ | PROT_WRITE);
    std::memset(data, kPoison, aligned);
    Protect(pages_[data], PROT_NONE);
    return data;
  }
  void Free(void* data) {
    const auto found = pages_.find(data);
    CHECK(found != pages_.end()) << "not memory of the emulated GPU";
    CHECK_EQ(munmap(found->second.begin, found->second.usable + found->second.guard), 0);
    pages_.erase(found);
  }
  void Open() const { ProtectAll(PROT_READ | PROT_WRITE); }
  void Close() const { ProtectAll(PROT_NONE); }

 private:
  struct Pages {
    char* begin;
    int64_t usable, guard;  // bytes
  };
  static void Protect(const Pages& pages, int protection) {
    CHECK_EQ(mprotect(pages.begin, pages.usable, protection), 0);
  }
  void ProtectAll(int protection) const {
    for (const auto& [data, pages] : pages_) Protect(pages, protection);
  }

  std::map<void*, Pages> pages_;
};

class Gpu {
 public:
  static Gpu& Get() {
    static Gpu gpu;
    return gpu;
  }

  Memory memory;
  bool recording = false;
  std::vector<const void*> recorded;  // kernels
  std::set<const void*> loaded;       // kernels that have run without being recorded
  int64_t graphs_made = 0;

  void Give(Work work, const void* kernel) {
    if (recording) {
      CHECK(kernel == nullptr || loaded.contains(kernel)) << "records a kernel that has not run";
      recorded.push_back(kernel);
    } else {
      loaded.insert(kernel);
    }
    stream_.push_back(std::move(work));
  }
  void Finish() {
    CHECK(!recording) << "waits while its work is recorded";
    if (stream_.empty()) return;
    memory.Open();
    for (; !stream_.empty(); stream_.pop_front()) {
      ++done_;
      stream_.front()({done_, done_ % 4 < 2 ? Copies::kEager : Copies::kLazy});
    }
    memory.Close();
  }

 private:
  std::deque<Work> stream_;
  unsigned done_ = 0;
};

}  // namespace

void Give(Work work, const void* kernel) { Gpu::Get().Give(std::move(work), kernel); }
int64_t GraphsMade() { return Gpu::Get().graphs_made; }

}  // namespace treeformer::emulation

struct CUgraphExec_st {
  std::vector<const void*> kernels;
};

namespace treeformer::runtime {

using emulation::Gpu;

void DestroyStream(cudaStream_t) noexcept {}
void DestroyEvent(cudaEvent_t) noexcept {}
void DestroyPinned(char*) noexcept {}
void DestroyCublas(cublasHandle_t) noexcept {}
void DestroyGraph(cudaGraphExec_t graph) noexcept { delete graph; }

int Context::CudaDeviceCount() { return 1; }
std::vector<std::string> Context::CudaDeviceUuids() { return {"GPU-emulated"}; }

Context Context::Cuda(int index) {
  if (index != 0) throw UserError(Sentence("there is no emulated GPU ", index));
  Gpu::Get().loaded.clear();
  return Context(Device::kCuda);
}

void Context::RunAsGraph(Graph& graph, const std::function<void()>& work) {
  if (device_ == Device::kCpu) return work();
  Gpu& gpu = Gpu::Get();
  gpu.recorded.clear();
  gpu.recording = true;
  work();
  gpu.recording = false;
  if (graph.get() != nullptr && graph.get()->kernels == gpu.recorded) return;
  graph = Graph(new CUgraphExec_st{gpu.recorded});
  ++gpu.graphs_made;
}

void Context::Synchronize() {
  if (device_ == Device::kCuda) Gpu::Get().Finish();
}

void* AllocateCuda(int64_t bytes) {
  CHECK(!Gpu::Get().recording) << "takes new memory while its work is recorded";
  return Gpu::Get().memory.Allocate(bytes);
}
void FreeCuda(void* data) noexcept {
  Gpu::Get().Finish();
  Gpu::Get().memory.Free(data);
}
int64_t FreeCudaMemory() { return int64_t{1} << 36; }

void ZeroCuda(void* data, int64_t bytes) {
  emulation::Give([=](const auto&) { std::memset(data, 0, bytes); });
  Gpu::Get().Finish();
}

namespace {

void CheckHostMayCopy() {
  CHECK(!Gpu::Get().recording) << "copies from or to the host while its work is recorded";
}

}  // namespace

void Context::CopyToCuda(void* dst, const void* src, int64_t bytes) {
  CheckHostMayCopy();
  const char* begin = static_cast<const char*>(src);
  const auto staged = std::make_shared<std::vector<char>>(begin, begin + bytes);
  emulation::Give([=](const auto&) { std::memcpy(dst, staged->data(), bytes); });
}

void CopyFromCuda(Context&, Out dst, In src) {
  if (dst.device() == Device::kCpu) CheckHostMayCopy();
  emulation::Give([=](const auto&) { std::memcpy(dst.data(), src.data(), dst.bytes()); });
}

void ZeroOnCuda(Context&, Out dst) {
  emulation::Give([=](const auto&) { std::memset(dst.data(), 0, dst.bytes()); });
}

}  // namespace treeformer::runtime
