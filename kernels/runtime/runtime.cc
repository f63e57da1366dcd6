#include <malloc.h>

#include <algorithm>
#include <cstdlib>
#include <cstring>
#include <utility>

#include "kernels/base/user_error.h"
#include "kernels/runtime/gpu_copy.h"

namespace treeformer::runtime {
namespace {

// Bytes: what cuBLASLt demands of its workspace; a multiple of a cache line.
constexpr int64_t kAlignment = 256;
constexpr int64_t kFirstBlock = 1 << 20;  // bytes

int64_t RoundUp(int64_t bytes) { return (bytes + kAlignment - 1) / kAlignment * kAlignment; }

}  // namespace

void* Allocate(Device device, int64_t bytes) {
  if (bytes == 0) return nullptr;
  if (device == Device::kCuda) return AllocateCuda(bytes);
  void* data = std::aligned_alloc(kAlignment, RoundUp(bytes));
  if (data == nullptr) {
    throw UserError(Sentence("out of memory: ", bytes >> 20, " MiB more are needed than this ",
                             "machine, or a limit (ulimit -v), grants"));
  }
  return data;
}

void Free(Device device, void* data) noexcept {
  if (device == Device::kCuda) {
    FreeCuda(data);
  } else {
    std::free(data);
  }
}

void ReturnFreedMemory() {
#ifdef __GLIBC__
  malloc_trim(0);
#endif
}

Buffer::Buffer(Device device, DType dtype, Shape shape)
    : dtype_(dtype), shape_(shape), device_(device) {
  data_ = Allocate(device, bytes());
  if (data_ == nullptr) return;
  if (device == Device::kCpu) {
    std::memset(data_, 0, bytes());
  } else {
    ZeroCuda(data_, bytes());
  }
}

Buffer& Buffer::operator=(Buffer&& other) noexcept {
  std::swap(data_, other.data_);
  std::swap(dtype_, other.dtype_);
  std::swap(shape_, other.shape_);
  std::swap(device_, other.device_);
  return *this;
}

Buffer::~Buffer() {
  if (data_ != nullptr) Free(device_, data_);
}

Scratch::Scratch(Scratch&& other) noexcept
    : device_(other.device_), blocks_(std::exchange(other.blocks_, {})) {}

Scratch::~Scratch() {
  for (const Block& block : blocks_) Free(device_, block.data);
}

void Scratch::Release() {
  CHECK(block_ == 0 && used_ == 0) << "scratch memory is in use";
  for (const Block& block : blocks_) Free(device_, block.data);
  blocks_.clear();
}

int64_t Scratch::bytes() const {
  int64_t bytes = 0;
  for (const Block& block : blocks_) bytes += block.bytes;
  return bytes;
}

// A block that is too small is passed over; a new one is at least as large as all before it.
void* Scratch::Take(int64_t bytes) {
  bytes = RoundUp(bytes);
  while (block_ < blocks_.size() && used_ + bytes > blocks_[block_].bytes) {
    ++block_;
    used_ = 0;
  }
  if (block_ == blocks_.size()) {
    const int64_t size = std::max({bytes, kFirstBlock, this->bytes()});
    blocks_.push_back({static_cast<char*>(Allocate(device_, size)), size});
  }
  void* data = blocks_[block_].data + used_;
  used_ += bytes;
  return data;
}

void Copy(Context& ctx, Out dst, In src) {
  CHECK_EQ(dst.count(), src.count());
  CHECK(dst.dtype() == src.dtype());
  if (dst.count() == 0) return;
  const bool from_host = src.device() == Device::kCpu;
  if (from_host && dst.device() == Device::kCpu) {
    ctx.Synchronize();  // what has been given to the stream may write src
    std::memcpy(dst.data(), src.data(), dst.bytes());
    return;
  }
  CHECK(ctx.device() == Device::kCuda) << "a copy from or to a GPU takes its context";
  if (from_host) {
    ctx.CopyToCuda(dst.data(), src.data(), dst.bytes());
  } else {
    CopyFromCuda(ctx, dst, src);
  }
}

void Zero(Context& ctx, Out dst) {
  if (dst.count() == 0) return;
  if (dst.device() == Device::kCpu) {
    std::memset(dst.data(), 0, dst.bytes());
    return;
  }
  CHECK(ctx.device() == Device::kCuda) << "memory of a GPU takes its context";
  ZeroOnCuda(ctx, dst);
}

}  // namespace treeformer::runtime
