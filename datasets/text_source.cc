#include "datasets/text_source.h"

#include <algorithm>
#include <utility>

#include "datasets/json_field.h"
#include "kernels/user_error.h"

namespace datasets {
namespace {

constexpr std::string_view kSpaces = " \t\n\r";
constexpr size_t kMaxUnbrokenBytes = 1 << 20;
constexpr size_t kMaxJsonLineBytes = 1 << 26;

bool IsBlank(std::string_view line) {
  return line.find_first_not_of(kSpaces) == std::string_view::npos;
}

// One past the last of `characters`, or 0.
size_t AfterLast(std::string_view text, std::string_view characters) {
  const size_t last = text.find_last_of(characters);
  return last == std::string_view::npos ? 0 : last + 1;
}

}  // namespace

TextSource::TextSource(TextSourceOptions options)
    : options_(std::move(options)), files_(ListInputFiles(options_.inputs)) {
  for (const InputFile& file : files_) total_bytes_ += file.bytes;
}

int64_t TextSource::replaced_sequences() const {
  return closed_replaced_ + (reader_ ? reader_->replaced_sequences() : 0);
}

bool TextSource::Next(TextBlock* block) {
  block->text.clear();
  block->pieces.clear();
  while (static_cast<int64_t>(block->text.size()) < options_.block_bytes) {
    if (!reader_) {
      if (next_file_ == files_.size()) break;
      OpenNextFile();
    }
    const bool end_of_file = !reader_->Read(options_.block_bytes, &pending_);
    const size_t cut = CutPosition(end_of_file);
    const std::string_view text = std::string_view(pending_).substr(0, cut);
    if (files_[next_file_ - 1].json_lines) {
      SplitJsonLines(text, block);
    } else if (options_.document == DocumentUnit::kLine) {
      SplitLines(text, block);
    } else if (options_.document == DocumentUnit::kBlankLine) {
      SplitBlankLines(text, block);
    } else if (!text.empty()) {
      block->text.append(text);
      block->pieces.push_back({block->text.size(), false});
    }
    pending_.erase(0, cut);
    if (end_of_file) EndFile(block);
  }
  block->bytes_read = closed_bytes_ + (reader_ ? reader_->bytes_read() : 0);
  return !block->pieces.empty();
}

void TextSource::OpenNextFile() {
  const InputFile& file = files_[next_file_++];
  reader_ = std::make_unique<TextReader>(file, options_.replace_invalid_utf8);
  json_line_ = 0;
  document_open_ = !file.json_lines && options_.document == DocumentUnit::kFile;
}

size_t TextSource::CutPosition(bool end_of_file) const {
  if (end_of_file) return pending_.size();
  const InputFile& file = files_[next_file_ - 1];
  const bool lines = file.json_lines || options_.document != DocumentUnit::kFile;
  const size_t cut = AfterLast(pending_, lines ? "\n" : kSpaces);
  if (cut > 0 || pending_.size() < kMaxUnbrokenBytes) return cut;
  if (!file.json_lines) {
    const size_t space = AfterLast(pending_, kSpaces);
    return space > 0 ? space : pending_.size();
  }
  if (pending_.size() > kMaxJsonLineBytes) {
    throw UserError(Sentence(file.path, ", line ", json_line_ + 1, ": more than ",
                             kMaxJsonLineBytes, " bytes, expected one JSON object a line"));
  }
  return 0;
}

void TextSource::SplitLines(std::string_view text, TextBlock* block) {
  while (!text.empty()) {
    const size_t newline = text.find('\n');
    document_open_ = newline == std::string_view::npos;
    const size_t bytes = document_open_ ? text.size() : newline + 1;
    block->text.append(text.substr(0, bytes));
    block->pieces.push_back({block->text.size(), !document_open_});
    text.remove_prefix(bytes);
  }
}

void TextSource::SplitBlankLines(std::string_view text, TextBlock* block) {
  while (!text.empty()) {
    const size_t newline = text.find('\n');
    const bool whole = newline != std::string_view::npos;
    const std::string_view line = text.substr(0, whole ? newline + 1 : text.size());
    line_has_text_ |= !IsBlank(line);
    document_open_ |= line_has_text_;
    if (document_open_) block->text.append(line);
    if (whole && !line_has_text_ && document_open_) {
      block->pieces.push_back({block->text.size(), true});
      document_open_ = false;
    }
    if (whole) line_has_text_ = false;
    text.remove_prefix(line.size());
  }
  const size_t given = block->pieces.empty() ? 0 : block->pieces.back().end;
  if (block->text.size() > given) block->pieces.push_back({block->text.size(), false});
}

void TextSource::SplitJsonLines(std::string_view text, TextBlock* block) {
  while (!text.empty()) {
    const size_t newline = std::min(text.find('\n'), text.size() - 1);
    const std::string_view line = text.substr(0, newline + 1);
    ++json_line_;
    if (!IsBlank(line)) {
      const std::string where = Sentence(files_[next_file_ - 1].path, ", line ", json_line_);
      block->text.append(JsonStringField(line, options_.json_field, where));
      block->pieces.push_back({block->text.size(), true});
    }
    text.remove_prefix(line.size());
  }
}

void TextSource::EndFile(TextBlock* block) {
  if (document_open_) block->pieces.push_back({block->text.size(), true});
  document_open_ = line_has_text_ = false;
  closed_bytes_ += reader_->bytes_read();
  closed_replaced_ += reader_->replaced_sequences();
  reader_.reset();
}

}  // namespace datasets
