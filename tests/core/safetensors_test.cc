#include "core/checkpoint/safetensors.h"

#include <sys/stat.h>

#include <cmath>
#include <limits>

#include "tests/core/foreign_file.h"
#include "tests/datasets/temporary_folder.h"

namespace treeformer {

namespace {

const std::string kData(24, '\1');

class SafetensorsFile : public testing::Test {
 protected:
  Safetensors Read(const std::string& bytes) { return Safetensors(folder_.Write("file", bytes)); }
  // A header whose tensors lie in 24 bytes.
  Safetensors ReadHeader(const std::string& header) { return Read(ForeignFile(header, kData)); }
  Safetensors ReadEntry(const std::string& entry) { return ReadHeader("{\"a\":{" + entry + "}}"); }

  TemporaryFolder folder_;
};

TEST_F(SafetensorsFile, GivesBackWhatWasWritten) {
  std::vector<float> a = {1, 2, 3, 4, 5, 6};
  std::vector<int32_t> b = {7, 8};
  Context ctx = Context::Cpu();
  WriteSafetensors(ctx, folder_.File("file"),
                   {{"a", {2, 3}, {0, 6}, View<float>(a.data(), {2, 3})},
                    {"b", {2}, {0, 2}, View<int32_t>(b.data(), {2})}});
  const Safetensors file(folder_.File("file"));
  ASSERT_EQ(file.tensors().size(), 2u);
  EXPECT_TRUE(file.tensors().at("a").Has(DType::kFloat32, {2, 3}));
  EXPECT_FALSE(file.tensors().at("a").Has(DType::kFloat32, {3, 2}));
  EXPECT_FALSE(file.tensors().at("a").Has(DType::kInt32, {2, 3}));
  EXPECT_EQ(ReadFloat32(file.tensors().at("a")), a);
  EXPECT_EQ(file.tensors().at("b").Describe(), "I32 [2]");
}

TEST_F(SafetensorsFile, OfASliceSaysWhichElementsOfWhatItHas) {
  std::vector<float> a = {5, 6, 7, 8};
  Context ctx = Context::Cpu();
  WriteSafetensors(ctx, folder_.File("file"),
                   {{"a", {3, 3}, {4, 8}, View<float>(a.data(), {4})},
                    {"b", {4}, {0, 4}, View<float>(a.data(), {4})}});
  const Safetensors file(folder_.File("file"));
  const StoredTensor& slice = file.tensors().at("a");
  EXPECT_TRUE(slice.Has(DType::kFloat32, {3, 3}));
  EXPECT_EQ(slice.shape, std::vector<int64_t>{4});
  EXPECT_EQ(slice.first, 4);
  EXPECT_EQ(ReadFloat32(slice), a);
  EXPECT_TRUE(file.tensors().at("b").Has(DType::kFloat32, {4}));
}

TEST_F(SafetensorsFile, ASliceThatCannotBeIsRefused) {
  const auto read = [&](const std::string& slices) {
    const nlohmann::json header = {
        {"__metadata__", {{"treeformer.slices", slices}}},
        {"a", {{"dtype", "F32"}, {"shape", {6}}, {"data_offsets", {0, 24}}}}};
    return ReadHeader(header.dump());
  };
  EXPECT_EQ(read(R"({"a":{"shape":[2,4],"first":2}})").tensors().at("a").first, 2);
  for (const auto& [slices, words] : {
           std::pair{R"({"a":{"shape":[2,4],"first":3}})", "is no slice of [2,4] from element 3"},
           {R"({"a":{"shape":[2],"first":9223372036854775807}})", "is no slice of [2]"},
           {R"({"a":{"shape":[4294967296,4294967296],"first":0}})", "is no slice of"},
           {R"({"a":{"shape":[2,4],"first":-1}})", "first has -1"},
           {R"({"a":{"shape":[2,4]}})", "first has null"},
           {R"({"a":{"first":0}})", "no list shape"},
           {R"({"a":7})", "the slice of a is not an object"},
           {R"({"b":{"shape":[2,4],"first":0}})", "a slice of tensor b, which is not there"},
           {"[1]", "treeformer.slices is not an object"},
           {"{", "it is not JSON"},
       }) {
    EXPECT_REFUSED(read(slices), words);
  }
}

TEST_F(SafetensorsFile, HasTensorsOfAnyTypeAndRank) {
  const Safetensors file = Read(ForeignFile({{"bool", "BOOL", {3}, std::string(3, '\1')},
                                             {"empty", "F32", {0, 5}, ""},
                                             {"f4", "F4", {2, 3}, "abc"},
                                             {"f8", "F8_E4M3", {2}, "ab"},
                                             {"ids", "I64", {1, 2}, std::string(16, '\0')},
                                             {"rank5", "U8", {1, 2, 1, 2, 1}, "abcd"},
                                             {"scalar", "C64", {}, std::string(8, '\0')}}));
  EXPECT_EQ(file.tensors().size(), 7u);
  EXPECT_EQ(file.tensors().at("rank5").Describe(), "U8 [1,2,1,2,1]");
  EXPECT_EQ(file.tensors().at("scalar").bytes, 8);
  EXPECT_REFUSED(ReadFloat32(file.tensors().at("ids")),
                 "it is I64; expected F32, F64, F16 or BF16");
}

TEST_F(SafetensorsFile, TypesThatNobodyKnowsSpoilOnlyTheirOwnTensor) {
  const std::string long_type(5000, 'x');
  const std::vector<float> good = {1, 2};
  const Safetensors file = Read(ForeignFile({{"e4", "F8_E4M3FNUZ", {3}, "abc"},
                                             {"e5", "F8_E5M2FNUZ", {3}, "abc"},
                                             {"f6", "F6_E2M3", {4}, "abc"},
                                             {"good", "F32", {2}, BytesOf(good)},
                                             {"new", "F2_E1", {1LL << 62, 1LL << 62}, "abcdefg"},
                                             {"nothing", "Q0", {9}, ""},
                                             {"words", long_type, {1}, "a"}}));
  EXPECT_EQ(file.tensors().size(), 7u);
  EXPECT_EQ(ReadFloat32(file.tensors().at("good")), good);
  EXPECT_EQ(file.tensors().at("new").bytes, 7);
  EXPECT_REFUSED(ReadFloat32(file.tensors().at("e4")), "it is F8_E4M3FNUZ; expected F32");
  EXPECT_REFUSED(ReadFloat32(file.tensors().at("new")), "it is \"F2_E1\"; expected F32");
  EXPECT_LT(file.tensors().at("words").Describe().size(), 40u);
  const auto entry = [](const char* offsets) {
    return Sentence(R"("dtype":"F2_E1","shape":[6],"data_offsets":)", offsets);
  };
  EXPECT_EQ(ReadEntry(entry("[0,24]")).tensors().size(), 1u);
  EXPECT_REFUSED(ReadEntry(entry("[24,0]")), "data_offsets are [24, 0]");
  EXPECT_REFUSED(ReadEntry(entry("[1,24]")), "begins at byte 1 of the data, expected 0");
  EXPECT_REFUSED(ReadEntry(entry("[0,25]")), "it has 24 bytes of data, its tensors need 25");
}

TEST_F(SafetensorsFile, AShapeOfManyExtentsIsCutInASentence) {
  const std::vector<int64_t> extents(100'000, 1);
  const Safetensors file = Read(ForeignFile({{"a", "U8", extents, "a"}}));
  EXPECT_EQ(file.tensors().at("a").Describe(), "U8 [1,1,1,1,1,1,1,1,...] (100000 extents)");
}

TEST_F(SafetensorsFile, NumbersOf16And64BitsBecomeFloat32) {
  // 1, -2, the smallest and the largest of each half, 0.1 rounded; at an odd place of the file.
  const std::vector<uint16_t> halves = {0x3c00, 0xc000, 0x0001, 0x7bff, 0x2e66, 0x8000};
  const std::vector<uint16_t> bfloats = {0x3f80, 0xc000, 0x3dcd};
  const std::vector<double> doubles = {0.1, -1e300 * 1e-300, 1e-60};
  const Safetensors file = Read(ForeignFile({{"a", "U8", {1}, "x"},
                                             {"b", "BF16", {3}, BytesOf(bfloats)},
                                             {"d", "F64", {3}, BytesOf(doubles)},
                                             {"h", "F16", {6}, BytesOf(halves)}}));
  const auto read = [&](const char* name) { return ReadFloat32(file.tensors().at(name)); };
  EXPECT_EQ(read("h"), std::vector<float>({1, -2, 0x1p-24f, 65504, 0x1.998p-4f, -0.0f}));
  EXPECT_TRUE(std::signbit(read("h")[5]));
  EXPECT_EQ(read("b"), std::vector<float>({1, -2, 0x1.9ap-4f}));
  EXPECT_EQ(read("d"), std::vector<float>({0.1f, -1, 0}));
}

TEST_F(SafetensorsFile, ValuesThatAreNoFiniteFloat32AreRefused) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (const ForeignTensor& tensor :
       {ForeignTensor{"a", "F32", {2}, BytesOf<float>({1, nan})},
        ForeignTensor{"a", "F64", {2}, BytesOf<double>({1, -1e39})},
        ForeignTensor{"a", "F16", {2}, BytesOf<uint16_t>({0x3c00, 0x7c00})},
        ForeignTensor{"a", "BF16", {2}, BytesOf<uint16_t>({0x3f80, 0x7fc0})}}) {
    EXPECT_REFUSED(ReadFloat32(Read(ForeignFile({tensor})).tensors().at("a")),
                   "element 1 is not a finite float32");
  }
}

TEST_F(SafetensorsFile, MayHaveMetadataSpacesAndItsTensorsInAnyOrder) {
  const Safetensors file = ReadHeader(
      R"({"__metadata__":{"format":"pt"},"b":{"dtype":"F32","shape":[2],"data_offsets":[16,24]},)"
      R"("a\u00e9":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16],"more":[]}}   )");
  EXPECT_EQ(file.tensors().size(), 2u);
  EXPECT_TRUE(file.tensors().contains("a\xc3\xa9"));
  EXPECT_EQ(Read(ForeignFile("{}", "")).tensors().size(), 0u);
}

TEST_F(SafetensorsFile, TensorsThatDoNotTileTheDataAreRefused) {
  const auto two = [](const char* a, const char* b) {
    return Sentence(R"({"a":{"dtype":"U8","shape":[12],"data_offsets":)", a,
                    R"(},"b":{"dtype":"U8","shape":[12],"data_offsets":)", b, "}}");
  };
  EXPECT_EQ(ReadHeader(two("[0,12]", "[12,24]")).tensors().size(), 2u);
  EXPECT_REFUSED(ReadHeader(two("[0,12]", "[0,12]")), "begins at byte 0 of the data, expected 12");
  EXPECT_REFUSED(ReadHeader(two("[0,12]", "[8,20]")), "begins at byte 8 of the data, expected 12");
  EXPECT_REFUSED(ReadHeader(two("[0,12]", "[13,25]")), "expected 12, where the one before ends");
  EXPECT_REFUSED(ReadEntry(R"("dtype":"F32","shape":[5],"data_offsets":[0,20])"),
                 "it has 24 bytes of data, its tensors need 20");
  EXPECT_REFUSED(ReadEntry(R"("dtype":"F32","shape":[7],"data_offsets":[0,28])"),
                 "it has 24 bytes of data, its tensors need 28");
}

TEST_F(SafetensorsFile, EntriesThatCannotBeAreRefused) {
  const std::string offsets = R"(,"data_offsets":[0,24])";
  const auto shape = [&](const char* list) {
    return Sentence(R"("dtype":"F32","shape":)", list, offsets);
  };
  EXPECT_REFUSED(ReadEntry(shape("[-6]")), "shape has -6, expected integers from 0");
  EXPECT_REFUSED(ReadEntry(shape("[6.0]")), "shape has 6.0");
  EXPECT_REFUSED(ReadEntry(shape("[18446744073709551615]")), "shape has 18446744073709551615");
  EXPECT_REFUSED(ReadEntry(shape("[1e300]")), "shape has 1e+300");
  EXPECT_REFUSED(ReadEntry(shape("[8589934592,8589934592]")), "has more than 2^63 bits");
  EXPECT_REFUSED(ReadEntry(shape("[2,4]")), "F32 [2,4] needs 32 bytes, data_offsets are [0, 24]");
  EXPECT_REFUSED(ReadEntry(shape("6")), "no list shape");
  EXPECT_REFUSED(ReadEntry(R"("dtype":"F32","shape":[6])"), "no list data_offsets");
  EXPECT_REFUSED(ReadEntry(R"("dtype":"F32","shape":[6],"data_offsets":[0])"), "are not two");
  EXPECT_REFUSED(ReadEntry(R"("dtype":"F32","shape":[6],"data_offsets":[24,0])"), "[24, 0]");
  EXPECT_REFUSED(ReadEntry(R"("dtype":"F32","shape":[6],"data_offsets":[24,-9223372036854775808])"),
                 "data_offsets has -9223372036854775808");
  EXPECT_REFUSED(ReadEntry(R"("dtype":"F4","shape":[3])" + offsets), "no whole number of bytes");
  EXPECT_REFUSED(ReadEntry(R"("dtype":1,"shape":[6])" + offsets), "no text dtype");
}

TEST_F(SafetensorsFile, HeadersThatAreNoneAreRefused) {
  const std::string entry = R"({"dtype":"F32","shape":[6],"data_offsets":[0,24]})";
  EXPECT_REFUSED(ReadHeader("[1,2,3]"), "does not begin with {");
  EXPECT_REFUSED(ReadHeader("  {\"a\":" + entry + "}"), "does not begin with {");
  EXPECT_REFUSED(ReadHeader("{\"a\":" + entry), "it is not JSON");
  EXPECT_REFUSED(ReadHeader("{\"a\":" + entry + "}" + std::string(1, '\0')), "NUL");
  EXPECT_REFUSED(ReadHeader("{\"a\":1}"), "tensor a: not an object");
  EXPECT_REFUSED(ReadHeader("{\"a\":" + entry + ",\"a\":" + entry + "}"), "the name \"a\" twice");
  EXPECT_REFUSED(ReadHeader("{\"__metadata__\":{\"n\":3},\"a\":" + entry + "}"), "__metadata__");
  EXPECT_REFUSED(ReadHeader("{\"a\":" + std::string(100000, '[')), "nested deeper than 3");
  EXPECT_REFUSED(Read(""), "is not a whole safetensors file: it has 0 bytes");
  EXPECT_REFUSED(Read("1234567"), "it has 7 bytes, its header needs 8");
  EXPECT_REFUSED(Read(std::string("\0\0\0\0\0\0\0\x10{}", 10)), "needs 8 and 1152921504606846976");
  EXPECT_REFUSED(Read("version https://git-lfs.github.com/spec/v1\noid sha256:1\nsize 9\n"),
                 "is a Git LFS pointer");
}

TEST_F(SafetensorsFile, WhatIsNoRegularFileIsRefusedAtOnce) {
  ASSERT_EQ(mkfifo(folder_.File("pipe").c_str(), 0600), 0);
  EXPECT_REFUSED(Safetensors(folder_.File("pipe")), "it is a pipe, expected a regular file");
  EXPECT_REFUSED(Safetensors("/dev/zero"), "/dev/zero cannot be read: it is a device");
  EXPECT_REFUSED(Safetensors(folder_.path()), "it is a folder");
  EXPECT_REFUSED(Safetensors(folder_.File("none")), "none cannot be read: No such file");
}

// Files that Hugging Face's library reads, and files that it refuses.
TEST_F(SafetensorsFile, IsReadWhereTheReferenceReadsIt) {
  const std::string folder = "../shared/reference/hf/headers";
  if (!std::filesystem::exists(folder)) GTEST_SKIP() << folder << " is not there";
  int good = 0, bad = 0;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) {
    const std::string name = entry.path().filename();
    if (!name.ends_with(".safetensors")) continue;
    // Refused where the tensor is needed, unlike there.
    if (name.starts_with("ok_") || name == "bad_unknown_type.safetensors") {
      EXPECT_NO_THROW(Safetensors(entry.path())) << name;
      ++good;
    } else {
      EXPECT_REFUSED(Safetensors(entry.path()), name + " is not a whole safetensors file: ");
      ++bad;
    }
  }
  EXPECT_GE(good, 8);
  EXPECT_GE(bad, 16);
}

}  // namespace

}  // namespace treeformer
