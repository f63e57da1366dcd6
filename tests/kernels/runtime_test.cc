#include "kernels/base/user_error.h"
#include "tests/kernels/dense_testing.h"

namespace treeformer {

namespace {

using namespace dense_testing;

class Memory : public BackendTest {};

TEST_P(Memory, ABufferIsZeroWhenNewAndKnowsItsShape) {
  const Buffer buffer(ctx_.device(), DType::kFloat32, {3, 5});
  EXPECT_EQ(buffer.shape(), Shape({3, 5}));
  EXPECT_EQ(buffer.bytes(), 3 * 5 * 4);
  std::vector<float> values(15, 1);
  Copy(ctx_, On(values, {15}), buffer);
  ctx_.Synchronize();
  EXPECT_EQ(values, std::vector<float>(15, 0));
}

TEST_P(Memory, AMovedBufferKeepsItsMemory) {
  Buffer first(ctx_.device(), DType::kFloat64, {7});
  void* const data = first.view().data();
  Buffer second(std::move(first));
  EXPECT_EQ(second.view().data(), data);
  Buffer third;
  EXPECT_EQ(third.bytes(), 0);
  third = std::move(second);
  EXPECT_EQ(third.view().data(), data);
  EXPECT_EQ(third.dtype(), DType::kFloat64);
  EXPECT_EQ(third.bytes(), 56);
}

TEST_P(Memory, AnEmptyBufferHasNoMemory) {
  const Buffer buffer(ctx_.device(), DType::kFloat32, {0, 5});
  EXPECT_FALSE(buffer.view());
  Zero(ctx_, buffer);
}

TEST_P(Memory, CopyAndZeroGoBothWays) {
  const Tensor<int32_t> a(ctx_, {4}, {1, 2, 3, 4}), b(ctx_, {4});
  Copy(ctx_, b, a);
  EXPECT_EQ(b.values(), (std::vector<int32_t>{1, 2, 3, 4}));
  Zero(ctx_, View<int32_t>(b).Rows(1, 3));
  EXPECT_EQ(b.values(), (std::vector<int32_t>{1, 0, 0, 4}));
}

TEST_P(Memory, ScratchNestsAndIsUsedAgain) {
  Scratch& scratch = ctx_.scratch();
  const float *outer_data, *inner_data;
  {
    Scratch::Scope outer(scratch);
    outer_data = outer.Take<float>({100}).data();
    {
      Scratch::Scope inner(scratch);
      const View<float> first = inner.Take<float>({3}), second = inner.Take<float>({3});
      inner_data = first.data();
      EXPECT_GE(inner_data, outer_data + 100);
      EXPECT_GE(second.data(), first.data() + 3);
      EXPECT_EQ(reinterpret_cast<uintptr_t>(second.data()) % 256, 0u);
    }
    EXPECT_EQ(outer.Take<float>({3}).data(), inner_data) << "what the inner scope took";
  }
  Scratch::Scope again(scratch);
  EXPECT_EQ(again.Take<float>({100}).data(), outer_data);
}

TEST_P(Memory, ScratchGrowsOnceAndKeepsWhatIsInUse) {
  Scratch& scratch = ctx_.scratch();
  int64_t bytes = 0;
  for (int pass = 0; pass < 3; ++pass) {
    Scratch::Scope scope(scratch);
    const View<float> small = scope.Take<float>({1});
    const View<float> large = scope.Take<float>({1 << 20});  // more than a first block holds
    EXPECT_TRUE(large.data() + (1 << 20) <= small.data() || small.data() < large.data());
    if (pass == 0) bytes = scratch.bytes();
    EXPECT_EQ(scratch.bytes(), bytes) << "pass " << pass;
  }
  EXPECT_GE(bytes, 4 << 20);
}

INSTANTIATE_BACKENDS(Memory);

TEST(CudaContext, WithoutSuchAGpuIsAUsersError) {
  EXPECT_THROW(Context::Cuda(Context::CudaDeviceCount()), UserError);
  EXPECT_THROW(Context::Cuda(-1), UserError);
}

TEST(View, RowsAndReshapedLookAtTheSameMemory) {
  std::vector<float> values{0, 1, 2, 3, 4, 5};
  const View<float> view = On(values, {3, 2});
  EXPECT_EQ(view.Rows(1, 3).shape(), Shape({2, 2}));
  EXPECT_EQ(view.Rows(1, 3)[0], 2);
  EXPECT_EQ(view.Rows(3, 3).count(), 0);
  EXPECT_EQ(view.Reshaped({6})[5], 5);
  const Out any = view;
  EXPECT_EQ(any.Rows(2, 3).as<float>()[1], 5);
  EXPECT_EQ(any.Reshaped({2, 3}).Rows(1, 2).as<float>()[0], 3);
  EXPECT_EQ(any.bytes(), 24);
}

TEST(View, AWritableViewMayBeRead) {
  std::vector<double> values{1, 2};
  const View<double> view = On(values, {2});
  const View<const double> constant = view;
  const Out out = view;
  const In in = out;
  EXPECT_EQ(constant[1], 2);
  EXPECT_EQ(in.as<double>()[1], 2);
  EXPECT_EQ(in.dtype(), DType::kFloat64);
  static_assert(!std::is_convertible_v<View<const double>, View<double>>);
  static_assert(!std::is_convertible_v<In, Out>);
  static_assert(!std::is_convertible_v<In, View<double>>);
}

TEST(View, ANullViewIsFalseOfAnyType) {
  EXPECT_FALSE(In());
  EXPECT_FALSE(static_cast<View<const double>>(In()));
  EXPECT_FALSE(View<float>());
}

TEST(ViewDeathTest, AWrongTypeOrShapeDies) {
  std::vector<float> values(6);
  const View<float> view = On(values, {3, 2});
  const Out any = view;
  EXPECT_DEATH(any.as<double>(), "wrong element type");
  EXPECT_DEATH(view.Reshaped({5}), "Check failed");
  EXPECT_DEATH(view.Rows(2, 4), "Check failed");
  EXPECT_DEATH(any.Rows(-1, 1), "Check failed");
  EXPECT_DEATH(view.shape()[2], "axis 2");
}

TEST(MemoryDeathTest, CopyOfAnotherCountOrTypeDies) {
  Context ctx = Context::Cpu();
  const Tensor<float> a(ctx, {3}), b(ctx, {4});
  const Tensor<int32_t> c(ctx, {3});
  EXPECT_DEATH(Copy(ctx, a, b), "count");
  EXPECT_DEATH(Copy(ctx, a, c), "dtype");
}

}  // namespace

}  // namespace treeformer
