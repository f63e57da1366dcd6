#include "dist/rank_grid.h"

#include "kernels/base/user_error.h"

namespace treeformer::dist {
namespace {

const GridSizes& Checked(const GridSizes& sizes, int ranks) {
  RequireGrid(sizes, ranks);
  return sizes;
}

// The group of the ranks whose place differs from `place` on one axis only; on that axis, which is
// 0 in `origin`, this rank stands at `key`.
std::unique_ptr<Communicator> Axis(Communicator& world, const GridSizes& sizes,
                                   const GridPlace& origin, int key, const std::string& name) {
  return world.Split(RankOf(sizes, origin), key, name);
}

}  // namespace

void RequireGrid(const GridSizes& sizes, int ranks) {
  const bool positive = sizes.data >= 1 && sizes.pipeline >= 1 && sizes.sequence >= 1;
  const int64_t product = int64_t{sizes.data} * sizes.pipeline * sizes.sequence;
  if (positive && product == ranks) return;
  throw UserError(Sentence("a grid of data ", sizes.data, " x pipeline ", sizes.pipeline,
                           " x sequence ", sizes.sequence, " does not hold the ", ranks,
                           ranks == 1 ? " rank" : " ranks", " of this job; expected sizes of at ",
                           "least 1 whose product is ", ranks));
}

GridPlace PlaceOf(const GridSizes& sizes, int rank) {
  return {.data = rank / sizes.sequence % sizes.data,
          .pipeline = rank / sizes.sequence / sizes.data,
          .sequence = rank % sizes.sequence};
}

int RankOf(const GridSizes& sizes, const GridPlace& place) {
  return (place.pipeline * sizes.data + place.data) * sizes.sequence + place.sequence;
}

RankGrid::RankGrid(Communicator& world, const GridSizes& sizes)
    : sizes_(Checked(sizes, world.size())),
      place_(PlaceOf(sizes, world.rank())),
      world_(world),
      data_(Axis(world, sizes, {0, place_.pipeline, place_.sequence}, place_.data, "data")),
      pipeline_(Axis(world, sizes, {place_.data, 0, place_.sequence}, place_.pipeline, "pipeline")),
      sequence_(
          Axis(world, sizes, {place_.data, place_.pipeline, 0}, place_.sequence, "sequence")) {}

}  // namespace treeformer::dist
