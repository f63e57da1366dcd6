#pragma once

// Small tasks that tell a good router from a bad one (core/attention/README.md, 3).

#include <cstdint>
#include <memory>
#include <string>

#include "core/model_config.h"
#include "datasets/batch.h"

namespace treeformer::bench {

// Batches for a ModelStage; a pure function of (seed, step).
class Task {
 public:
  virtual ~Task() = default;

  virtual datasets::Batch Training(int64_t step) const = 0;
  virtual datasets::Batch HeldOut(int64_t i) const = 0;
  virtual BatchShape shape() const = 0;
  virtual int64_t vocabulary() const = 0;
  virtual int64_t token_types() const = 0;
};

// Recall: 64 key-value pairs in random order, then the 64 keys again in another order; predict each
// key's value.  The pair's token is the key, its token type the value; all positions are 0, for the
// order says nothing.  n = 128.  Solvable only by attending from a query to the one pair with its
// key.
std::unique_ptr<Task> MakeRecallTask(int64_t sequences, uint64_t seed);

// Masked characters of text: bytes, 15 % masked (80/10/10), the last 5 % of the text held out.
// `path`: a folder, of which all files with a name ending in one of .h .cc .cpp .hpp .c .txt, or
// without ending, are read, up to 16 MiB.
std::unique_ptr<Task> MakeCharacterTask(const std::string& path, int64_t sequences, int64_t length,
                                        uint64_t seed);

}  // namespace treeformer::bench
