#include "datasets/text_reader.h"

#include <algorithm>
#include <array>
#include <iomanip>
#include <string_view>
#include <utility>

#include "datasets/utf8.h"

namespace treeformer::datasets {
namespace {

using namespace std::string_view_literals;

constexpr int64_t kHeadBytes = 8192;

constexpr std::array<std::pair<std::string_view, const char*>, 15> kFormats{{
    {"\x1F\x8B"sv, "gzip"},
    {"PK\3\4"sv, "zip"},
    {"\x28\xB5\x2F\xFD"sv, "zstd, whose name must end in .zst"},
    {"\xFD"
     "7zXZ\0"sv,
     "xz"},
    {"BZh91AY&SY"sv, "bzip2"},
    {"\x04\x22\x4D\x18"sv, "lz4"},
    {"7z\xBC\xAF\x27\x1C"sv, "7z"},
    {"\x7F"
     "ELF"sv,
     "ELF, a program"},
    {"%PDF-"sv, "PDF"},
    {"PAR1\x15"sv, "Parquet"},
    {"ARROW1\0"sv, "Arrow"},
    {"\x89PNG"sv, "PNG"},
    {"\xFF\xD8\xFF"sv, "JPEG"},
    {"\xFF\xFE"sv, "UTF-16, which iconv converts"},
    {"\xFE\xFF"sv, "UTF-16, which iconv converts"},
}};

void RefuseBinary(const std::string& path, std::string_view head) {
  for (const auto& [magic, format] : kFormats) {
    if (!head.starts_with(magic)) continue;
    throw BinaryFileError(Sentence(path, " is no text: it begins as ", format, "; expected UTF-8"));
  }
  const size_t nul = head.find('\0');
  if (nul != std::string_view::npos) {
    throw BinaryFileError(Sentence(path, " is no text: byte ", nul, " is NUL; expected UTF-8"));
  }
}

}  // namespace

TextReader::TextReader(const InputFile& file, InvalidUtf8 invalid, int zstd_window_log)
    : file_(file), invalid_(invalid), bytes_(file, zstd_window_log), head_(kHeadBytes, '\0') {
  head_.resize(bytes_.Read(head_.data(), kHeadBytes));
  RefuseBinary(file.path, head_);
}

int64_t TextReader::ReadBytes(char* data, int64_t bytes) {
  const int64_t count = std::min<int64_t>(bytes, head_.size());
  head_.copy(data, count);
  head_.erase(0, count);
  return count + bytes_.Read(data + count, bytes - count);
}

bool TextReader::Read(int64_t bytes, std::string* text) {
  raw_.erase(0, raw_begin_);
  raw_begin_ = 0;
  const size_t kept = raw_.size();
  raw_.resize(kept + bytes);
  const int64_t count = ReadBytes(raw_.data() + kept, bytes);
  raw_.resize(kept + count);
  TakeValid(/*end_of_file=*/count < bytes, text);
  RefuseNoText();
  return count == bytes;
}

void TextReader::TakeValid(bool end_of_file, std::string* text) {
  for (;;) {
    Take(text, ValidUtf8Prefix(std::string_view(raw_).substr(raw_begin_)));
    if (raw_begin_ == raw_.size()) return;
    const Utf8Sequence sequence = FirstSequence(std::string_view(raw_).substr(raw_begin_));
    if (sequence.kind == Utf8Sequence::kIncomplete && !end_of_file) return;
    Replace(sequence.bytes, text);
  }
}

void TextReader::Take(std::string* text, int64_t bytes) {
  const auto begin = raw_.begin() + raw_begin_;
  text->append(begin, begin + bytes);
  line_ += std::count(begin, begin + bytes, '\n');
  no_text_ += std::count(begin, begin + bytes, '\0');
  raw_begin_ += bytes;
  offset_ += bytes;
  given_ += bytes;
}

void TextReader::Replace(int64_t bytes, std::string* text) {
  if (invalid_ == InvalidUtf8::kRefuse) {
    throw UserError(Sentence(DescribeInvalid(),
                             ", expected UTF-8; convert it, or "
                             "replace_invalid_utf8, or skip_bad_documents"));
  }
  if (invalid_ == InvalidUtf8::kMark) marks_.push_back({given_, DescribeInvalid()});
  const size_t before = text->size();
  AppendUtf8(kReplacementCharacter, text);
  given_ += text->size() - before;
  raw_begin_ += bytes;
  offset_ += bytes;
  no_text_ += bytes;
  ++replaced_sequences_;
}

std::string TextReader::DescribeInvalid() const {
  const int byte = static_cast<unsigned char>(raw_[raw_begin_]);
  return Sentence(file_.path, ", line ", line_, ", byte ", offset_, ": invalid UTF-8 (0x", std::hex,
                  std::uppercase, std::setfill('0'), std::setw(2), byte, ")");
}

void TextReader::RefuseNoText() const {
  constexpr int64_t kFew = 64;
  if (no_text_ < kFew || no_text_ <= offset_ / 5) return;
  throw BinaryFileError(
      Sentence(file_.path, " is no text: of its first ", offset_, " bytes ", no_text_,
               " are invalid UTF-8 or NUL; expected UTF-8, convert it from what it is"));
}

}  // namespace treeformer::datasets
