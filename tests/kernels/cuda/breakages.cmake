# Ways to break a kernel, each of which its emulated test must catch.  CMakeLists.txt builds the
# test with every one of them; tests/check_broken_kernel.cmake runs it.
#
#   breakage(name test source text broken failure)
#
# In a copy of `source`, `text`, which must be there exactly once, becomes `broken`.
# tests/kernels/cuda/<test>.cc, compiled with that copy, must fail, and the report of its first
# failure match `failure`; where `failure` is empty, the test must pass.

# Through the same steps an unbroken kernel passes.
breakage(nothing tf_attention_emulated_test kernels/tree/tf/tf_tiles.cuh
  [[device::WaitCopies<0>();]]
  [[device::WaitCopies<0>();]]
  "")

# Warps read a tile that others have not copied yet, and overwrite one that others still read.
breakage(barrier tf_attention_emulated_test kernels/tree/tf/tf_tiles.cuh
  [[
    device::WaitCopies<0>();
    device::BlockBarrier();]]
  [[
    device::WaitCopies<0>();]]
  "o\\[[0-9]+\\] is [^,]*, expected ")

# All values stay right, so the count of conflicts must be what fails first.
breakage(swizzle tf_attention_emulated_test kernels/tree/tf/tf_fragments.cuh
  [[const int turn = row / (8 / kTurns) % kTurns;]]
  [[const int turn = 0;]]
  "result\\.bank_conflicts\n +Which is: [1-9]")

# Every query attends one key too many: that of the next leaf.
breakage(mask_bound tf_attention_emulated_test kernels/tree/tf/tf_tiles.cuh
  [[return begin <= slot && slot < end;]]
  [[return begin <= slot && slot <= end;]]
  "o\\[[0-9]+\\] is -?[0-9.e-]+, expected ")

# A tile is read while it is under way; only copies that arrive late show it.
breakage(wait_count tf_attention_emulated_test kernels/tree/tf/tf_tiles.cuh
  [[device::WaitCopies<0>();]]
  [[device::WaitCopies<1>();]]
  "o\\[[0-9]+\\] is nan, expected .*late copies")
