#include "kernels/embedding.h"

#include "tests/kernels/dense_testing.h"

namespace treeformer {

namespace {

using namespace dense_testing;
using testing_util::ExpectDerivative;

class Embedding : public Float32Test {};

constexpr int64_t kTokens = 23, kPositions = 11, kTypes = 2;  // rows of the tables

std::vector<int32_t> RandomIndices(int64_t count, int64_t rows, unsigned seed) {
  std::mt19937 engine(seed);
  std::vector<int32_t> indices(count);
  for (int32_t& index : indices) index = static_cast<int32_t>(engine() % rows);
  return indices;
}

struct Operands {
  Operands(int64_t N, int64_t C)
      : N(N),
        C(C),
        tokens(RandomIndices(N, kTokens, 1)),
        positions(RandomIndices(N, kPositions, 2)),
        types(RandomIndices(N, kTypes, 3)) {}
  int64_t N, C;
  std::vector<int32_t> tokens, positions, types;
};

// N, C: few and many rows, one past a vector
const Shape kSizes[] = {{0, 5}, {1, 1}, {7, 17}, {131, 65}, {1031, 3}};

TEST(EmbeddingReference, BackwardIsTheDerivativeOfForward) {
  Operands in(31, 5);
  const Shape shape{in.N, in.C};
  auto token = Random<double>(kTokens * in.C, 1), position = Random<double>(kPositions * in.C, 2);
  auto type = Random<double>(kTypes * in.C, 3), dy = Random<double>(in.N * in.C, 4);
  std::vector<double> y(in.N * in.C), d_token(token.size()), d_position(position.size());
  std::vector<double> d_type(type.size());
  const Shape tokens{kTokens, in.C}, positions{kPositions, in.C}, types{kTypes, in.C};
  auto loss = [&] {
    reference::EmbeddingForward<double>(
        testing_util::HostContext(), On(y, shape),
        {On(token, tokens), On(position, positions), On(type, types)},
        {On(in.tokens, {in.N}), On(in.positions, {in.N}), On(in.types, {in.N})});
    return Dot(y, dy);
  };
  reference::EmbeddingBackward<double>(
      testing_util::HostContext(),
      {On(d_token, tokens), On(d_position, positions), On(d_type, types)}, On(dy, shape),
      {On(in.tokens, {in.N}), On(in.positions, {in.N}), On(in.types, {in.N})});
  ExpectDerivative(loss, token, d_token);
  ExpectDerivative(loss, position, d_position);
  ExpectDerivative(loss, type, d_type);
}

// Two additions; the sums of the gradients run in the same order as the reference's: equal bits.
TEST_P(Embedding, IsTheReferenceBitForBit) {
  for (const Shape& shape : kSizes) {
    SCOPED_TRACE(testing::Message() << shape);
    Operands in(shape[0], shape[1]);
    const Shape rows{in.N}, tokens{kTokens, in.C}, positions{kPositions, in.C}, types{kTypes, in.C};
    auto token = Random<float>(tokens.count(), 1), position = Random<float>(positions.count(), 2);
    auto type = Random<float>(types.count(), 3);
    const Tensor<int32_t> token_ids(ctx_, rows, in.tokens), position_ids(ctx_, rows, in.positions);
    const Tensor<int32_t> type_ids(ctx_, rows, in.types);
    const Tensor<float> token_on(ctx_, tokens, token), position_on(ctx_, positions, position);
    const Tensor<float> type_on(ctx_, types, type), y(ctx_, shape);
    EmbeddingForward(ctx_, y, {token_on, position_on, type_on},
                     {token_ids, position_ids, type_ids});
    std::vector<float> expected(shape.count());
    reference::EmbeddingForward<float>(
        testing_util::HostContext(), On(expected, shape),
        {On(token, tokens), On(position, positions), On(type, types)},
        {On(in.tokens, rows), On(in.positions, rows), On(in.types, rows)});
    EXPECT_EQ(y.values(), expected);
    EmbeddingBackward(ctx_, {token_on, position_on, type_on}, y,
                      {token_ids, position_ids, type_ids});
    reference::EmbeddingBackward<float>(
        testing_util::HostContext(), {On(token, tokens), On(position, positions), On(type, types)},
        On(expected, shape), {On(in.tokens, rows), On(in.positions, rows), On(in.types, rows)});
    EXPECT_EQ(token_on.values(), token);
    EXPECT_EQ(position_on.values(), position);
    EXPECT_EQ(type_on.values(), type);
  }
}

TEST_P(Embedding, RowsAreGatheredAndScatteredBack) {
  const Tensor<float> x(ctx_, {3, 2}, {0, 1, 10, 11, 20, 21}), y(ctx_, {4, 2});
  const Tensor<int32_t> rows(ctx_, {4}, {2, 0, 2, 2});
  GatherRows(ctx_, y, x, rows);
  EXPECT_EQ(y.values(), (std::vector<float>{20, 21, 0, 1, 20, 21, 20, 21}));
  ScatterAddRows(ctx_, x, y, rows);
  EXPECT_EQ(x.values(), (std::vector<float>{0, 2, 10, 11, 80, 84}));
}

INSTANTIATE_BACKENDS(Embedding);

TEST(EmbeddingCpu, TheNumberOfThreadsChangesNoBit) {
  Context ctx = Context::Cpu();
  const auto indices = RandomIndices(1031, kTypes, 1);
  const Tensor<int32_t> rows(ctx, {1031}, indices);
  const Tensor<float> dy(ctx, {1031, 67}, Random<float>(1031 * 67, 2));
  ExpectSameBits([&] {
    const Tensor<float> dx(ctx, {kTypes, 67}, std::vector<float>(kTypes * 67, 0));
    ScatterAddRows(ctx, dx, dy, rows);
    return dx.values();
  });
}

TEST(EmbeddingDeathTest, AnIndexOutsideTheTableDiesByName) {
  Context ctx = Context::Cpu();
  const Tensor<float> table(ctx, {3, 2}), y(ctx, {2, 2});
  const Tensor<int32_t> good(ctx, {2}, {0, 2}), above(ctx, {2}, {0, 3}), below(ctx, {2}, {-1, 0});
  EXPECT_DEATH(GatherRows(ctx, y, table, above), "index 3 into a table of 3 rows");
  EXPECT_DEATH(GatherRows(ctx, y, table, below), "index -1 into a table of 3 rows");
  EXPECT_DEATH(ScatterAddRows(ctx, table, y, above), "index 3 into a table of 3 rows");
  EXPECT_DEATH(EmbeddingForward(ctx, y, {table, table, table}, {good, good, above}),
               "index 3 into a table of 3 rows");
}

TEST(EmbeddingDeathTest, WrongShapeDies) {
  Context ctx = Context::Cpu();
  const Tensor<float> table(ctx, {3, 2}), y(ctx, {2, 2}), wide(ctx, {2, 3});
  const Tensor<int32_t> rows(ctx, {3}, {0, 1, 2});
  EXPECT_DEATH(GatherRows(ctx, y, table, rows), "index.shape");
  EXPECT_DEATH(GatherRows(ctx, wide, table, rows), "Check failed: table");
}

}  // namespace

}  // namespace treeformer
