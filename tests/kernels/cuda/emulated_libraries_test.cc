// What NVIDIA's libraries may answer and a real GPU seldom shows: cuBLASLt without an algorithm.

#include <cstring>

#include "kernels/emulation/emulated_device.h"
#include "kernels/matmul/cublaslt.h"
#include "tests/kernels/cuda/device_testing.h"

namespace treeformer {

namespace {

using namespace dense_testing;
using namespace emulated_testing;

class UnknownProducts : public DeviceTest {
 protected:
  void TearDown() override { emulation::MakeProductsUnknown(/*every=*/0); }
};

// Every request fails: cuBLAS; every second one: the sums over k may not be cut.
TEST_F(UnknownProducts, AreMadeInAnotherWayWithTheSameResults) {
  const int64_t N = 17, I = 24, O = 61;
  const Shape inputs{N, I}, outputs{N, O}, long_rows{N, AlignedColumns(O)}, weights{O, I};
  const auto x = RandomBFloat16(N * I, 1), w = RandomBFloat16(O * I, 2);
  const auto bias = RandomBFloat16(O, 3), dy = RandomBFloat16(N * O, 4);
  std::vector<std::vector<float>> known;
  for (const int every : {0, 1, 2, 3}) {
    SCOPED_TRACE(every);
    emulation::MakeProductsUnknown(every);
    const Tensor<BFloat16> x_on = Put(x, inputs), w_on = Put(w, weights);
    const Tensor<BFloat16> y = Output(long_rows), plain = Output(outputs);
    const Tensor<BFloat16> dx = Output(inputs);
    const Tensor<float> dw = Put(ToFloat(w), weights), dbias = Put(ToFloat(bias), {O});
    LinearForward(*ctx_, y, x_on, w_on, Put(bias, {O}));
    LinearForward(*ctx_, plain, x_on, w_on, {});
    LinearBackwardInput(*ctx_, dx, Put(dy, outputs), w_on, /*accumulate=*/false);
    LinearBackwardInput(*ctx_, dx, Put(dy, outputs), w_on, /*accumulate=*/true);
    LinearBackwardWeights(*ctx_, dw, dbias, Put(dy, outputs), x_on);
    const std::vector<std::vector<float>> results{ToFloat(y.values()), ToFloat(plain.values()),
                                                  ToFloat(dx.values()), dw.values(),
                                                  dbias.values()};
    if (every == 0) known = results;
    for (size_t i = 0; i < results.size(); ++i) {
      ASSERT_EQ(results[i].size(), known[i].size());
      EXPECT_EQ(std::memcmp(results[i].data(), known[i].data(), 4 * known[i].size()), 0) << i;
    }
  }
}

TEST_F(UnknownProducts, OperandsThatTheLibrariesDoNotTakeDie) {
  const Tensor<float> memory(*ctx_, {cuda::kWorkspaceBytes / 4 + 64});
  const float* begin = View<const float>(memory).data();
  const auto workspace = [&](int64_t offset) {
    return View<float>(const_cast<float*>(begin) + offset, {cuda::kWorkspaceBytes / 4},
                       Device::kCuda);
  };
  const Tensor<float> c(*ctx_, {2, 3}), a(*ctx_, {2, 4}), b(*ctx_, {4, 3}), bias(*ctx_, {8});
  cuda::Product product{{.a = a, .b = b}, c, /*bias=*/In()};
  cuda::CheckAlignment(product, workspace(0));
  EXPECT_DEATH(cuda::CheckAlignment(product, workspace(16)), "the workspace of a product");
  product.bias = In(View<const float>(View<const float>(bias).data() + 1, {3}, Device::kCuda));
  EXPECT_DEATH(cuda::CheckAlignment(product, workspace(0)), "the bias of a product");
}

}  // namespace

}  // namespace treeformer
