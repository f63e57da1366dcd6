#include "datasets/json_documents.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>
#include <optional>
#include <random>
#include <string>

#include "datasets/json_field.h"
#include "tests/datasets/read_documents.h"
#include "tests/datasets/temporary_folder.h"

namespace treeformer::datasets {
namespace {

TEST(JsonDocuments, BadJsonIsRefusedWithItsLine) {
  TemporaryFolder folder;
  const auto read = [&](const std::string& line) {
    folder.Write("a.jsonl", "{\"text\": \"good\"}\n\n" + line + "\n");
    ReadDocuments({.inputs = {folder.path()}});
  };
  EXPECT_REFUSED(read("{\"text\": \"open"), "a.jsonl, line 3: not JSON: ");
  EXPECT_REFUSED(read("{\"body\": \"x\"}"), "line 3: the JSON object has no field 'text'");
  EXPECT_REFUSED(read("{\"text\": null}"), "line 3: field 'text' is null, not a string");
  EXPECT_REFUSED(read("{\"text\": 5}"), "line 3: field 'text' is not a string");
  EXPECT_REFUSED(read("{\"text\": [\"x\"]}"), "line 3: field 'text' is not a string");
  EXPECT_REFUSED(read("[\"text\"]"), "line 3: expected a JSON object");
  EXPECT_REFUSED(read("\"text\""), "line 3: expected a JSON object");
}

TEST(JsonDocuments, NumbersThatPythonWritesAreRead) {
  TemporaryFolder folder;
  folder.Write("a.jsonl",
               "{\"score\": NaN, \"text\": \"one\"}\n"
               "{\"x\": [-Infinity, {\"y\": Infinity}], \"text\": \"two\", \"z\": 1e999}\n");
  EXPECT_EQ(ReadDocuments({.inputs = {folder.path()}}), (Documents{"one", "two"}));
  folder.Write("a.jsonl", "{\"text\": NaN}\n");
  EXPECT_REFUSED(ReadDocuments({.inputs = {folder.path()}}), "line 1: field 'text' is not a str");
}

// In the field that is read; what others hold does not matter.
TEST(JsonDocuments, HalvesOfSurrogatePairsAreReplacedAndCountedIfAsked) {
  TemporaryFolder folder;
  folder.Write("a.jsonl",
               "{\"text\": \"good\", \"other\": \"\\ud83d\"}\n"
               "{\"text\": \"a\\ud83d b\\ude00\\ud83d\\ude00\\ud83d\\u0041\"}\n");
  for (const int64_t bytes : kBlockBytes) {
    TextReport report;
    EXPECT_EQ(ReadDocuments(
                  {.inputs = {folder.path()}, .replace_invalid_utf8 = true, .block_bytes = bytes},
                  &report),
              (Documents{"good", "a\uFFFD b\uFFFD\U0001F600\uFFFDA"}));
    EXPECT_EQ(report.replaced_sequences, 3);
  }
  EXPECT_REFUSED(ReadDocuments({.inputs = {folder.path()}}),
                 "a.jsonl, line 2: field 'text' holds \\ud83d, half a surrogate pair");
}

TEST(JsonDocuments, BadDocumentsAreSkippedAndListedIfAsked) {
  TemporaryFolder folder;
  folder.Write("a.jsonl",
               "{\"text\": \"one\"}\n"
               "{\"text\": null}\n"
               "{\"other\": \"\"}\n"
               "{\"text\": \"b\xFF\xFF\"}\n"
               "{\"text\": \"open\n"
               "\n"
               "{\"text\": \"\\ud83d\"}\n"
               "{\"text\": \"two\"}\n");
  const std::string path = folder.File("a.jsonl");
  for (const int64_t bytes : kBlockBytes) {
    TextReport report;
    EXPECT_EQ(
        ReadDocuments({.inputs = {folder.path()}, .skip_bad_documents = true, .block_bytes = bytes},
                      &report),
        (Documents{"one", "two"}));
    EXPECT_EQ(report.bad_documents, 5);
    ASSERT_EQ(report.first_bad.size(), 5u);
    EXPECT_EQ(report.first_bad[0], path + ", line 2: field 'text' is null, not a string");
    EXPECT_EQ(report.first_bad[1], path + ", line 3: the JSON object has no field 'text'");
    EXPECT_EQ(report.first_bad[2], path + ", line 4, byte 56: invalid UTF-8 (0xFF)");
    EXPECT_EQ(report.first_bad[3],
              path + ", line 5: not JSON: expected a control character to be escaped at byte 15");
    EXPECT_EQ(report.first_bad[4].substr(0, path.size() + 8), path + ", line 7");
    EXPECT_EQ(report.replaced_sequences, 0);
  }
}

TEST(JsonDocuments, AByteOrderMarkBeginsNoDocument) {
  TemporaryFolder folder;
  folder.Write("a.jsonl", "\xEF\xBB\xBF{\"text\": \"one\"}\r\n{\"text\": \"two\"}");
  EXPECT_EQ(ReadDocuments({.inputs = {folder.path()}}), (Documents{"one", "two"}));
}

// Its text comes in blocks of bounded size, cut behind spaces, between characters where none are.
TEST(JsonDocuments, ALineMayBeLongerThanAnyBlock) {
  TemporaryFolder folder;
  std::string text;
  while (text.size() < 3u << 20) text += "caf\u00E9 \U0001F333 \"\n";
  while (text.size() < 6u << 20) text += "\u6797";
  nlohmann::json line;
  line["text"] = text;
  folder.Write("a.jsonl", line.dump() + "\n" + line.dump(-1, ' ', /*ensure_ascii=*/true));
  TextSource source({.inputs = {folder.path()}});
  TextBlock block;
  std::string all;
  while (source.Next(&block)) {
    EXPECT_LE(block.text.size(), (1u << 20) + (1u << 19));
    EXPECT_NE(block.text.front() & 0xC0, 0x80);
    all += block.text;
  }
  EXPECT_TRUE(all == text + text);
}

// There is no limit but memory: once there was one at 64 MiB.
TEST(JsonDocuments, ALineOfSeventyMillionBytesIsRead) {
  TemporaryFolder folder;
  std::string text;
  while (text.size() < 70'000'000) text += "good morning ";
  folder.Write("a.jsonl", "{\"text\": \"" + text + "\"}\n");
  EXPECT_TRUE(ReadDocuments({.inputs = {folder.path()}}) == Documents{text});
}

TEST(JsonDocuments, OfANameThatOccursTwiceTheLastCounts) {
  const std::string json = "{\"text\": \"one\", \"t\\u0065xt\": \"two\"}";
  EXPECT_EQ(FindJsonString(json, "text", "here").escaped, "two");
  EXPECT_REFUSED(FindJsonString("{\"text\": \"one\", \"text\": 1}", "text", "here"),
                 "here: field 'text' is not a string");
}

TEST(JsonDocuments, BracketsMayBeNestedAsDeepAsTheLineIsLong) {
  const std::string deep(1'000'000, '['), end(1'000'000, ']');
  EXPECT_EQ(FindJsonString("{\"x\":" + deep + end + ",\"text\":\"one\"}", "text", "").escaped,
            "one");
  EXPECT_REFUSED(FindJsonString("{\"x\":" + deep, "text", "here"), "here: not JSON");
}

std::string Mutate(std::string json, std::mt19937* engine) {
  constexpr std::string_view kBytes = "{}[]\",:\\u/bntf0123456789deE+-. \tax\x01";
  for (unsigned changes = (*engine)() % 3 + 1; changes > 0; --changes) {
    const size_t at = (*engine)() % json.size();
    const char byte = kBytes[(*engine)() % kBytes.size()];
    switch ((*engine)() % 3) {
      case 0:
        json[at] = byte;
        break;
      case 1:
        json.insert(at, 1, byte);
        break;
      default:
        json.erase(at, 1);
        break;
    }
    if (json.empty()) json = " ";
  }
  return json;
}

// The string that the library finds, or nullopt.  A number beyond a double is none to it.
std::optional<std::string> Reference(const std::string& json, bool* beyond) {
  try {
    const nlohmann::json value = nlohmann::json::parse(json);
    if (!value.is_object() || !value.contains("text") || !value["text"].is_string()) return {};
    return value["text"].get<std::string>();
  } catch (const nlohmann::json::out_of_range&) {
    *beyond = true;
  } catch (const nlohmann::json::exception&) {
  }
  return {};
}

std::optional<std::string> Found(const std::string& json) {
  try {
    JsonString found = FindJsonString(json, "text", "here");
    if (found.lone_surrogates > 0) return {};
    std::string text;
    while (!found.escaped.empty()) DecodeJson(&found.escaped, 1, &text);
    return text;
  } catch (const UserError&) {
    return {};
  }
}

TEST(JsonDocuments, ReadsWhatAJsonLibraryReads) {
  const std::vector<std::string> seeds{
      R"({"text": "caf\u00e9 \ud83d\ude00 \"quoted\" \\ \/ \b\f\n\r\t", )"
      R"("n": [1, -0.5e+3, 0, null]})",
      R"({"a": {"text": "inner", "b": [[], {}, [{"c": true}]]}, "text": "outer", "d": false})",
      R"( {"text":"","x":"y"} )"};
  std::mt19937 engine(1);
  int read = 0;
  for (int i = 0; i < 100000; ++i) {
    const std::string json = Mutate(seeds[i % seeds.size()], &engine);
    bool beyond = false;
    const std::optional<std::string> expected = Reference(json, &beyond);
    if (beyond) continue;
    ASSERT_EQ(Found(json), expected) << json;
    read += expected.has_value();
  }
  EXPECT_GT(read, 10000);
}

}  // namespace
}  // namespace treeformer::datasets
