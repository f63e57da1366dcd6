#include "launcher/run/fingerprint.h"

#include <bit>
#include <mutex>

#include "dist/host_name.h"
#include "dist/local_communicator.h"
#include "tests/datasets/temporary_folder.h"
#include "tests/testing.h"

namespace treeformer {

namespace {

// What each rank is told, `fingerprints(rank)` being its own.
template <typename F>
std::vector<std::string> Compare(int ranks, const F& fingerprints) {
  std::vector<std::string> told(ranks);
  dist::RunLocalRanks(ranks, [&](dist::Communicator& communicator) {
    const int rank = communicator.rank();
    told[rank] = DescribeDifferences(communicator, fingerprints(rank));
  });
  return told;
}

TEST(Fingerprints, ThatAreAlikeSayNothing) {
  for (int ranks : {1, 2, 3, 8}) {
    for (const std::string& told : Compare(ranks, [](int) {
           return std::vector<Fingerprint>{{"configuration", ~0ull}};
         })) {
      EXPECT_EQ(told, "");
    }
  }
}

TEST(Fingerprints, NameTheRankThatDiffersFromMostAndWhatDiffers) {
  const std::string host = " on " + dist::HostName();
  for (int odd : {0, 1, 2}) {
    const auto told = Compare(3, [&](int rank) {
      const uint64_t flipped = rank == odd ? 1ull << 63 : 0;
      return std::vector<Fingerprint>{{"configuration", 5}, {"token file", 7 ^ flipped}};
    });
    const std::string expected = "rank " + std::to_string(odd) + host +
                                 " has another token file than rank " + (odd == 0 ? "1" : "0") +
                                 host;
    EXPECT_EQ(told, std::vector<std::string>(3, expected));
  }
}

TEST(Fingerprints, NameNoMoreThanEightRanks) {
  const auto told = Compare(12, [](int rank) {
    return std::vector<Fingerprint>{{"x", rank < 2 ? 9u : 10u + rank}};
  });
  EXPECT_NE(told[11].find("rank 9"), std::string::npos) << told[11];
  EXPECT_EQ(told[11].find("rank 10"), std::string::npos) << told[11];
  EXPECT_NE(told[11].find("and 2 more have another x than rank 0"), std::string::npos) << told[11];
}

TEST(Fingerprints, OneBitOfOneParameterShows) {
  const auto hash = [](int rank) {
    Context ctx = Context::Cpu();
    Parameters parameters;
    parameters.Declare("a", {300, 7}, Initializer::Normal(1), Role::kWeight);
    parameters.Allocate(ctx, DType::kFloat32);
    parameters.Initialize(ctx, /*seed=*/1);
    float& value = parameters.values().as<float>()[1234];
    if (rank == 1) value = std::bit_cast<float>(std::bit_cast<uint32_t>(value) ^ 1);
    return std::vector<Fingerprint>{{"set of parameters", HashValues(ctx, parameters)}};
  };
  const auto told = Compare(3, hash);
  EXPECT_TRUE(told[0].starts_with("rank 1 on ")) << told[0];
}

TEST(Fingerprints, OfATokenFileIsItsHeadersAndAMissingOneIsRefused) {
  const TemporaryFolder folder;
  const std::string header(64, 'h');
  const std::string a = folder.Write("a", header + "tokens"), b = folder.Write("b", header + "x");
  const std::string c = folder.Write("c", std::string(63, 'h') + "i");
  EXPECT_EQ(HashTokenFile(a), HashTokenFile(b));
  EXPECT_NE(HashTokenFile(a), HashTokenFile(c));
  EXPECT_REFUSED(HashTokenFile(folder.File("none")), "none cannot be read");
  EXPECT_REFUSED(HashTokenFile(folder.Write("short", "TREETOKS")), "short cannot be read");
}

}  // namespace

}  // namespace treeformer
