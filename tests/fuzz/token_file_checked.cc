// A token file whose checksums are right, whatever else it holds, in its roles in training.  In one
// variant header and sizes are right too, so that only offsets and ids are free.

#include <xxhash.h>

#include <algorithm>
#include <cstring>

#include "datasets/shuffled_loader.h"
#include "datasets/token_dataset.h"
#include "datasets/token_file.h"
#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/small_vocabulary.h"

namespace treeformer {

namespace {

struct Header {  // datasets/token_file.cc
  char magic[8] = {'T', 'R', 'E', 'E', 'T', 'O', 'K', 'S'};
  uint32_t version = 1;
  int32_t vocabulary_size = SmallVocabulary().size();
  uint64_t vocabulary_hash = SmallVocabulary().hash();
  int64_t documents = 0, tokens = 0;
  uint64_t payload_checksum = 0, reserved = 0, header_checksum = 0;
};
static_assert(sizeof(Header) == 64);

std::string Seal(Header header, std::string_view payload) {
  header.payload_checksum = XXH3_64bits(payload.data(), payload.size());
  header.header_checksum = XXH3_64bits(&header, offsetof(Header, header_checksum));
  return std::string(reinterpret_cast<const char*>(&header), sizeof header) + std::string(payload);
}

std::string AnyCounts(std::string_view input) {
  Header header;
  const size_t counts = std::min(input.size(), 2 * sizeof(int64_t));
  memcpy(&header.documents, input.data(), counts);
  return Seal(header, input.substr(counts));
}

std::string RightCounts(std::string_view input) {
  Header header;
  header.documents = 1 + TakeByte(&input) % 8;
  header.tokens = TakeByte(&input) % 64;
  const size_t ids = (header.tokens + header.tokens % 2) * sizeof(int32_t);
  std::string payload(ids + (header.documents + 1) * sizeof(int64_t), '\0');
  memcpy(payload.data(), input.data(), std::min(input.size(), payload.size()));
  memset(payload.data() + ids, 0, sizeof(int64_t));
  memcpy(payload.data() + payload.size() - sizeof(int64_t), &header.tokens, sizeof(int64_t));
  return Seal(header, payload);
}

}  // namespace

void FuzzOne(std::string_view input) {
  const int variant = TakeByte(&input);
  const std::string path = FuzzPath("tokens");
  PutFile(path, variant & 1 ? RightCounts(input) : AnyCounts(input));
  const datasets::SequenceConfig sequences{
      .length = 16, .pack = (variant & 2) != 0, .masking = {.whole_word = (variant & 4) != 0}};
  const datasets::TokenDataset text(path, SmallVocabulary(), sequences);
  datasets::ShuffledLoader loader(text, {.batch_size = 4}, /*seed=*/1);
  for (int step = 0; step < 2; ++step) {
    const datasets::Batch batch = loader.Get(0);
    for (const int32_t token : batch.tokens) {
      Promise(token >= 0 && token < SmallVocabulary().size(), "ids are of the vocabulary");
    }
    loader.NextStep();
  }
}

}  // namespace treeformer
