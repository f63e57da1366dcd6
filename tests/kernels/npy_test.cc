#include "kernels/runtime/npy.h"

#include <cstdlib>
#include <cstring>

#include "tests/datasets/temporary_folder.h"
#include "tests/kernels/dense_testing.h"

namespace treeformer {

namespace {

using namespace dense_testing;

class Npy : public BackendTest {
 protected:
  std::string Dump(In view) {
    DumpNpy(ctx_, path_, view);
    return folder_.Read("view.npy");
  }

  const TemporaryFolder folder_;
  const std::string path_ = folder_.File("view.npy");
};

template <typename T>
std::string BytesOf(const std::vector<T>& values) {
  return std::string(reinterpret_cast<const char*>(values.data()), values.size() * sizeof(T));
}

// A file of the documented format whose header, 118 bytes with its line's end, says `literal`.
std::string File(std::string literal, const std::string& values) {
  literal.resize(117, ' ');
  return std::string("\x93NUMPY\x01\x00\x76\x00", 10) + literal + "\n" + values;
}

TEST_P(Npy, AMatrixIsWrittenByteForByteInTheDocumentedFormat) {
  const Tensor<float> x(ctx_, {2, 3}, {0.5f, -1, 2, 3, 4, 5});
  EXPECT_EQ(Dump(x), File("{'descr': '<f4', 'fortran_order': False, 'shape': (2, 3), }",
                          BytesOf<float>({0.5f, -1, 2, 3, 4, 5})));
}

TEST_P(Npy, EveryTypeOfElementHasItsDescription) {
  EXPECT_EQ(Dump(Tensor<double>(ctx_, {2}, {0.1, -7})),
            File("{'descr': '<f8', 'fortran_order': False, 'shape': (2,), }",
                 BytesOf<double>({0.1, -7})));
  EXPECT_EQ(Dump(Tensor<int32_t>(ctx_, {1, 1, 1, 2}, {3, -4})),
            File("{'descr': '<i4', 'fortran_order': False, 'shape': (1, 1, 1, 2), }",
                 BytesOf<int32_t>({3, -4})));
}

TEST_P(Npy, BFloat16IsWidenedExactly) {
  const Tensor<float> x(ctx_, {2}, {1, -3});
  std::vector<BFloat16> rounded = {{0x3F80}, {0xC040}};
  const Buffer buffer(ctx_.device(), DType::kBFloat16, {2});
  Copy(ctx_, buffer, On(rounded, {2}));
  EXPECT_EQ(Dump(buffer), Dump(x));
}

TEST_P(Npy, AnEmptyViewAndAWindowOfRowsKeepTheirShape) {
  EXPECT_EQ(Dump(Buffer(ctx_.device(), DType::kFloat32, {0, 5})),
            File("{'descr': '<f4', 'fortran_order': False, 'shape': (0, 5), }", ""));
  const Tensor<int32_t> x(ctx_, {3, 2}, {1, 2, 3, 4, 5, 6});
  EXPECT_EQ(Dump(In(x).Rows(1, 3)),
            File("{'descr': '<i4', 'fortran_order': False, 'shape': (2, 2), }",
                 BytesOf<int32_t>({3, 4, 5, 6})));
}

TEST_P(Npy, APlaceThatCannotBeWrittenIsNamed) {
  const Tensor<float> x(ctx_, {1}, {1});
  EXPECT_REFUSED(DumpNpy(ctx_, folder_.File("absent/view.npy"), x), "absent/view.npy");
}

TEST_P(Npy, NumpyReadsIt) {
  const std::string python = "/usr/bin/python3 -c \"import numpy";  // Debian's, where it installs
  if (std::system((python + "\" 2>/dev/null").c_str()) != 0) {
    GTEST_SKIP() << "python3-numpy is absent";
  }
  Dump(Tensor<double>(ctx_, {2, 2}, {1, 2, 3, 0.25}));
  const std::string check = "; x = numpy.load('" + path_ +
                            "'); assert x.tolist() == [[1, 2], [3, 0.25]] and x.dtype == 'f8', x\"";
  EXPECT_EQ(std::system((python + check).c_str()), 0);
}

INSTANTIATE_BACKENDS(Npy);

}  // namespace

}  // namespace treeformer
