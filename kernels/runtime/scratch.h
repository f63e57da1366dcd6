#pragma once

// Scratch: memory for the length of one operation, taken and given back like a
// stack.  The blocks stay allocated, so that after the first step nothing is
// allocated any more.
//
//   Scratch::Scope scope(ctx.scratch());
//   View<float> scores = scope.Take<float>({rows, columns});   // not initialised
//   ...                                                        // given back here
//
// Scopes nest; only the innermost may Take.  What is taken is aligned to 256 bytes.

#include <vector>

#include "kernels/runtime/view.h"

namespace treeformer {

namespace runtime {

class Scratch {
 public:
  explicit Scratch(Device device) : device_(device) {}
  Scratch(Scratch&& other) noexcept;
  Scratch& operator=(Scratch&&) = delete;
  ~Scratch();

  class Scope {
   public:
    explicit Scope(Scratch& scratch)
        : scratch_(scratch), block_(scratch.block_), used_(scratch.used_) {}
    Scope(const Scope&) = delete;
    ~Scope() {
      scratch_.block_ = block_;
      scratch_.used_ = used_;
    }

    template <typename T>
    View<T> Take(Shape shape) {
      return View<T>(static_cast<T*>(scratch_.Take(shape.count() * int64_t{sizeof(T)})), shape,
                     scratch_.device_);
    }
    Out Take(DType dtype, Shape shape) {
      return Out(scratch_.Take(shape.count() * SizeOf(dtype)), dtype, shape, scratch_.device_);
    }

   private:
    Scratch& scratch_;
    size_t block_;
    int64_t used_;
  };

  int64_t bytes() const;  // held, used or not
  void Release();         // gives them back; nothing is taken

 private:
  struct Block {
    char* data;
    int64_t bytes;
  };
  void* Take(int64_t bytes);

  Device device_;
  std::vector<Block> blocks_;
  size_t block_ = 0;  // index of the block in use
  int64_t used_ = 0;  // bytes of it that are taken
};

}  // namespace runtime

using runtime::Scratch;

}  // namespace treeformer
