#include "datasets/json_documents.h"

#include "datasets/json_field.h"
#include "kernels/base/user_error.h"

namespace treeformer::datasets {
namespace {

constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";

}  // namespace

JsonDocuments::JsonDocuments(const InputFile& file, const TextSourceOptions& options,
                             TextReport* report)
    : path_(file.path),
      options_(options),
      report_(report),
      reader_(file, InvalidUtf8Of(options), options.zstd_window_log) {}

bool JsonDocuments::Next(TextBlock* block) {
  if (!document_open_) {
    if (!NextLine()) {
      if (options_.replace_invalid_utf8) {
        report_->replaced_sequences += reader_.replaced_sequences();
      }
      return false;
    }
    Begin();
  }
  if (document_open_) GiveText(block);
  return true;
}

bool JsonDocuments::NextLine() {
  size_t newline;
  while ((newline = pending_.find('\n', searched_)) == std::string::npos && !at_end_) {
    DropLines();
    searched_ = pending_.size();
    at_end_ = !reader_.Read(options_.block_bytes, &pending_);
  }
  if (line_begin_ == pending_.size()) return false;
  const size_t end = newline == std::string::npos ? pending_.size() : newline + 1;
  line_ = std::string_view(pending_).substr(line_begin_, end - line_begin_);
  line_begin_ = searched_ = end;
  ++line_number_;
  return true;
}

void JsonDocuments::DropLines() {
  position_ += line_begin_;
  pending_.erase(0, line_begin_);
  line_begin_ = 0;
  if (pending_.capacity() / 8 > pending_.size() + kMaxUnbrokenBytes) pending_.shrink_to_fit();
}

void JsonDocuments::Begin() {
  if (line_number_ == 1 && line_.starts_with(kByteOrderMark)) {
    line_.remove_prefix(kByteOrderMark.size());
  }
  if (IsBlank(line_)) return;
  try {
    RefuseMarks();
    escaped_ = FindText();
    document_open_ = true;
  } catch (const UserError& error) {
    if (!options_.skip_bad_documents) {
      throw UserError(Sentence(error.what(), "; skip_bad_documents passes over such lines"));
    }
    report_->AddBad(error.what());
  }
}

void JsonDocuments::RefuseMarks() {
  std::vector<TextReader::Mark>& marks = reader_.marks();
  const int64_t end = position_ + static_cast<int64_t>(line_begin_);
  auto mark = marks.begin();
  while (mark != marks.end() && mark->position < end) ++mark;
  if (mark == marks.begin()) return;
  const std::string sentence = marks.front().sentence;
  marks.erase(marks.begin(), mark);
  throw UserError(sentence);
}

std::string_view JsonDocuments::FindText() {
  const std::string where = path_ + ", line " + std::to_string(line_number_);
  const JsonString string = FindJsonString(line_, options_.json_field, where);
  if (string.lone_surrogates > 0 && !options_.replace_invalid_utf8) {
    throw UserError(Sentence(where, ": field '", options_.json_field, "' holds ",
                             string.first_surrogate,
                             ", half a surrogate pair, expected both or replace_invalid_utf8"));
  }
  report_->replaced_sequences += string.lone_surrogates;
  return string.escaped;
}

void JsonDocuments::GiveText(TextBlock* block) {
  const size_t bytes = options_.block_bytes;
  if (text_.empty() && escaped_.size() <= bytes) {
    DecodeJson(&escaped_, bytes, &block->text);
    block->Append({}, /*ends_document=*/true);
    document_open_ = false;
    return;
  }
  const size_t searched = text_.size();
  DecodeJson(&escaped_, bytes, &text_);
  document_open_ = !escaped_.empty();
  const size_t cut = document_open_ ? CutAfterSpace(text_, searched) : text_.size();
  if (cut > 0 || !document_open_) {
    block->Append(std::string_view(text_).substr(0, cut), !document_open_);
  }
  text_.erase(0, cut);
}

}  // namespace treeformer::datasets
