#pragma once

// RankGrid: the ranks of a job as a grid of data x pipeline x sequence, and the groups along its
// axes.
//
//   data       the ranks that hold the same part of the model and read other sequences
//   pipeline   the ranks that hold the stages of one model, in their order
//   sequence   the ranks that share the tokens of the same sequences
//
//   rank = (pipeline * sizes.data + data) * sizes.sequence + sequence
//
// Ranks of a sequence, which talk most, are neighbours; the stages of a pipeline, which talk least,
// are furthest apart.

#include <memory>
#include <string>

#include "dist/communicator.h"

namespace treeformer::dist {

struct GridSizes {
  int data = 1;
  int pipeline = 1;
  int sequence = 1;
};

// Where a rank stands on each axis, which is its rank in each group.
struct GridPlace {
  int data = 0;
  int pipeline = 0;
  int sequence = 0;

  friend bool operator==(const GridPlace&, const GridPlace&) = default;
};

// UserError unless the sizes are at least 1 and their product is `ranks`.
void RequireGrid(const GridSizes& sizes, int ranks);

GridPlace PlaceOf(const GridSizes& sizes, int rank);
int RankOf(const GridSizes& sizes, const GridPlace& place);

class RankGrid {
 public:
  // Collective.  `world` must outlive it.  UserError as above.
  RankGrid(Communicator& world, const GridSizes& sizes);

  const GridSizes& sizes() const { return sizes_; }
  const GridPlace& place() const { return place_; }  // of this rank

  Communicator& world() { return world_; }
  Communicator& data() { return *data_; }
  Communicator& pipeline() { return *pipeline_; }
  Communicator& sequence() { return *sequence_; }

 private:
  const GridSizes sizes_;
  const GridPlace place_;
  Communicator& world_;
  const std::unique_ptr<Communicator> data_, pipeline_, sequence_;
};

}  // namespace treeformer::dist
