#include "datasets/token_file.h"

#include <glog/logging.h>
#include <xxhash.h>

#include <algorithm>
#include <bit>
#include <cstring>
#include <functional>
#include <utility>
#include <vector>

#include "kernels/base/user_error.h"

namespace treeformer::datasets {
namespace {

static_assert(std::endian::native == std::endian::little, "token files are little-endian");

constexpr char kMagic[8] = {'T', 'R', 'E', 'E', 'T', 'O', 'K', 'S'};
constexpr uint32_t kVersion = 1;

struct Header {
  char magic[8];
  uint32_t version;
  int32_t vocabulary_size;
  uint64_t vocabulary_hash;
  int64_t documents;
  int64_t tokens;
  uint64_t payload_checksum;  // of all bytes after the header
  uint64_t reserved;
  uint64_t header_checksum;  // of the fields above
};
static_assert(sizeof(Header) == 64);

uint64_t HeaderChecksum(const Header& header) {
  return XXH3_64bits(&header, offsetof(Header, header_checksum));
}

int64_t PaddingBytes(int64_t tokens) { return tokens % 2 * sizeof(int32_t); }

int64_t FileBytes(const Header& header) {
  return sizeof(Header) + header.tokens * sizeof(int32_t) + PaddingBytes(header.tokens) +
         (header.documents + 1) * sizeof(int64_t);
}

Header ReadHeader(const std::string& path, std::string_view file) {
  if (file.empty() || file.substr(0, sizeof kMagic) !=
                          std::string_view(kMagic, std::min(file.size(), sizeof kMagic))) {
    throw UserError(Sentence(path, " is not a token file: it does not begin with TREETOKS"));
  }
  if (file.size() < sizeof(Header)) {
    throw UserError(Sentence("token file ", path, " is cut short: it has ", file.size(),
                             " bytes, less than its header of ", sizeof(Header)));
  }
  Header header;
  memcpy(&header, file.data(), sizeof header);
  if (header.version != kVersion) {
    throw UserError(Sentence("token file ", path, " has version ", header.version,
                             ", this program reads version ", kVersion,
                             ": prepare it again from the text"));
  }
  if (header.header_checksum != HeaderChecksum(header)) {
    throw UserError(
        Sentence("token file ", path, " is corrupt: the checksum of its header does not match"));
  }
  // A checksum is no proof of good intent: every count, offset and id is checked before use.
  constexpr int64_t kMost = int64_t{1} << 56;  // beyond any disk; FileBytes() does not overflow
  const auto is_count = [](int64_t count) { return count >= 0 && count <= kMost; };
  if (!is_count(header.documents) || !is_count(header.tokens) || header.vocabulary_size < 1) {
    throw UserError(Sentence("token file ", path, " is corrupt: its header says ", header.documents,
                             " documents, ", header.tokens, " tokens and a vocabulary of ",
                             header.vocabulary_size, ", which cannot be"));
  }
  return header;
}

// All lie inside the tokens when they rise from 0 to the number of tokens.
void CheckOffsets(const std::string& path, std::span<const int64_t> offsets, int64_t tokens) {
  if (offsets.front() != 0 || offsets.back() != tokens) {
    throw UserError(Sentence("token file ", path, " is corrupt: its documents are tokens ",
                             offsets.front(), " to ", offsets.back(), ", expected 0 to ", tokens));
  }
  const auto bad = std::adjacent_find(offsets.begin(), offsets.end(), std::greater_equal<>());
  if (bad != offsets.end()) {
    throw UserError(Sentence("token file ", path, " is corrupt: document ", bad - offsets.begin(),
                             " begins at token ", bad[0], " and ends at token ", bad[1],
                             ", expected a later end"));
  }
}

}  // namespace

TokenFile TokenFile::Open(const std::string& path,
                          std::optional<uint64_t> expected_vocabulary_hash) {
  TokenFile file(path);
  file.CheckPayload(Vocabulary::kNone);
  if (expected_vocabulary_hash) file.CheckVocabulary(*expected_vocabulary_hash);
  return file;
}

TokenFile TokenFile::Open(const std::string& path, const Vocabulary& vocabulary,
                          const TokenFileRecords& verified) {
  TokenFile file(path);
  file.CheckVocabulary(vocabulary.hash());
  if (file.vocabulary_size_ != vocabulary.size()) {
    throw UserError(Sentence("token file ", path, " is corrupt: its header says a vocabulary of ",
                             file.vocabulary_size_, " tokens, expected ", vocabulary.size()));
  }
  const auto known = std::find_if(
      verified.begin(), verified.end(),
      [&](const TokenFileRecord& record) { return record.IsOfSameFile(file.record_); });
  if (known != verified.end()) {
    file.record_ = *known;
  } else {
    file.CheckPayload(vocabulary.unknown());
  }
  return file;
}

TokenFile::TokenFile(const std::string& path) : path_(path), file_(path) {
  const Header header = ReadHeader(path_, file_.bytes());
  const char* const data = file_.bytes().data();
  const int64_t bytes = std::ssize(file_.bytes());
  if (bytes < FileBytes(header)) {
    throw UserError(Sentence("token file ", path_, " is cut short: it has ", bytes, " of its ",
                             FileBytes(header), " bytes"));
  }
  if (bytes > FileBytes(header)) {
    throw UserError(Sentence("token file ", path_, " is corrupt: it has ", bytes,
                             " bytes, expected ", FileBytes(header)));
  }
  tokens_ = {reinterpret_cast<const int32_t*>(data + sizeof(Header)),
             static_cast<size_t>(header.tokens)};
  offsets_ = {reinterpret_cast<const int64_t*>(data + bytes) - (header.documents + 1),
              static_cast<size_t>(header.documents + 1)};
  CheckOffsets(path_, offsets_, header.tokens);
  vocabulary_size_ = header.vocabulary_size;
  vocabulary_hash_ = header.vocabulary_hash;
  payload_checksum_ = header.payload_checksum;
  record_.bytes = bytes;
  record_.modified = file_.modified();
  record_.inode = file_.inode();
  record_.header = header.header_checksum;
  record_.tokens = header.tokens;
}

void TokenFile::CheckVocabulary(uint64_t hash) const {
  if (hash == vocabulary_hash_) return;
  throw UserError(Sentence("token file ", path_, " was made with another vocabulary: its hash is ",
                           std::hex, vocabulary_hash_, ", expected was ", hash));
}

void TokenFile::CheckPayload(int32_t unknown) {
  const std::string_view payload = file_.bytes().substr(sizeof(Header));
  if (XXH3_64bits(payload.data(), payload.size()) != payload_checksum_) {
    throw UserError(Sentence("token file ", path_,
                             " is corrupt: its checksum does not match; prepare it again"));
  }
  for (const int32_t& id : tokens_) {
    if (id < 0 || id >= vocabulary_size_) {
      throw UserError(Sentence("token file ", path_, " is corrupt: token ", &id - tokens_.data(),
                               " has id ", id, ", expected 0 to ", vocabulary_size_ - 1,
                               ", its vocabulary"));
    }
    record_.unknown_tokens += id == unknown;
  }
}

TokenFileWriter::TokenFileWriter(const std::string& path, uint64_t vocabulary_hash,
                                 int32_t vocabulary_size)
    : file_(path),
      offsets_(path + ".offsets"),
      checksum_(XXH3_createState()),
      vocabulary_hash_(vocabulary_hash),
      vocabulary_size_(vocabulary_size) {
  XXH3_64bits_reset(checksum_);
  const Header empty{};  // written last
  file_.Append(&empty, sizeof empty);
  const int64_t zero = 0;
  offsets_.Append(&zero, sizeof zero);
}

TokenFileWriter::~TokenFileWriter() { XXH3_freeState(checksum_); }

void TokenFileWriter::AppendPayload(const void* data, int64_t bytes) {
  XXH3_64bits_update(checksum_, data, bytes);
  file_.Append(data, bytes);
}

void TokenFileWriter::Append(std::span<const int32_t> tokens) {
  CHECK(!sealed_);
  for (const int32_t token : tokens) {
    CHECK(token >= 0 && token < vocabulary_size_) << token << " of " << vocabulary_size_;
  }
  AppendPayload(tokens.data(), tokens.size_bytes());
  open_tokens_ += tokens.size();
}

void TokenFileWriter::EndDocument() {
  CHECK_GT(open_tokens_, 0) << "a document without tokens";
  tokens_ += open_tokens_;
  open_tokens_ = 0;
  ++documents_;
  offsets_.Append(&tokens_, sizeof tokens_);
}

void TokenFileWriter::Seal() {
  if (std::exchange(sealed_, true)) return;
  CHECK_EQ(open_tokens_, 0) << "the last document has not ended";
  const int32_t zero = 0;
  AppendPayload(&zero, PaddingBytes(tokens_));
  std::vector<char> chunk(1 << 16);
  for (int64_t done = 0; done < offsets_.bytes();) {
    const int64_t bytes = std::min<int64_t>(chunk.size(), offsets_.bytes() - done);
    offsets_.ReadAt(done, chunk.data(), bytes);
    AppendPayload(chunk.data(), bytes);
    done += bytes;
  }
  Header header{};
  std::copy(std::begin(kMagic), std::end(kMagic), header.magic);
  header.version = kVersion;
  header.vocabulary_size = vocabulary_size_;
  header.vocabulary_hash = vocabulary_hash_;
  header.documents = documents_;
  header.tokens = tokens_;
  header.payload_checksum = XXH3_64bits_digest(checksum_);
  header.header_checksum = HeaderChecksum(header);
  file_.WriteAt(0, &header, sizeof header);
  file_.Sync();
}

void TokenFileWriter::Finish() {
  Seal();
  file_.Commit();
}

}  // namespace treeformer::datasets
