#include "datasets/plain_documents.h"

#include "kernels/base/user_error.h"

namespace treeformer::datasets {
namespace {

constexpr int64_t kSearchBytes = 1 << 18;

}  // namespace

PlainSplitter::Portion PlainSplitter::Next(std::string_view text) {
  if (unit_ == DocumentUnit::kFile) return {text.size(), true, false};
  const size_t newline = text.find('\n');
  const bool whole = newline != std::string_view::npos;
  Portion portion{whole ? newline + 1 : text.size(), true, whole};
  if (unit_ == DocumentUnit::kBlankLine) {
    line_has_text_ |= !IsBlank(text.substr(0, portion.bytes));
    portion.given = document_open_ || line_has_text_;
    portion.ends_document = whole && document_open_ && !line_has_text_;
    if (whole) line_has_text_ = false;
  }
  document_open_ = portion.given && !portion.ends_document;
  return portion;
}

PlainDocuments::PlainDocuments(const InputFile& file, const TextSourceOptions& options,
                               TextReport* report)
    : file_(file), options_(options), report_(report), splitter_(options.document) {
  const bool whole_file = options.document == DocumentUnit::kFile;
  if (options.skip_bad_documents && (whole_file || !options.replace_invalid_utf8)) {
    FindBadDocuments();
  }
  if (whole_file && !bad_.empty()) return;
  reader_ = std::make_unique<TextReader>(file, InvalidUtf8Of(options), options.zstd_window_log);
}

void PlainDocuments::FindBadDocuments() {
  if (file_.pipe) {
    throw UserError(Sentence(file_.path,
                             " is a pipe, of which bad documents cannot be skipped; "
                             "expected a file, or JSON lines"));
  }
  try {
    TextReader reader(file_, InvalidUtf8Of(options_), options_.zstd_window_log);
    FindBadDocuments(&reader);
  } catch (const BinaryFileError& error) {
    if (options_.document != DocumentUnit::kFile) throw;
    if (bad_.empty()) report_->AddBad(error.what());
    bad_ = {0};
  }
}

void PlainDocuments::FindBadDocuments(TextReader* reader) {
  PlainSplitter splitter(options_.document);
  std::string text;
  int64_t document = 0, position = 0;
  for (bool more = true; more;) {
    text.clear();
    more = reader->Read(kSearchBytes, &text);
    auto mark = reader->marks().begin();
    for (std::string_view rest = text; !rest.empty();) {
      const PlainSplitter::Portion portion = splitter.Next(rest);
      position += portion.bytes;
      for (; mark != reader->marks().end() && mark->position < position; ++mark) {
        if (!bad_.empty() && bad_.back() == document) continue;
        bad_.push_back(document);
        report_->AddBad(mark->sentence);
      }
      document += portion.ends_document;
      rest.remove_prefix(portion.bytes);
    }
    reader->marks().clear();
  }
}

bool PlainDocuments::Next(TextBlock* block) {
  if (!reader_) return false;
  const bool more = reader_->Read(options_.block_bytes, &pending_);
  reader_->marks().clear();
  const size_t cut = more ? CutPosition() : pending_.size();
  Give(std::string_view(pending_).substr(0, cut), block);
  pending_.erase(0, cut);
  searched_ = pending_.size();
  if (more) return true;
  if (splitter_.document_open() && !IsBad()) block->Append({}, /*ends_document=*/true);
  if (options_.replace_invalid_utf8) report_->replaced_sequences += reader_->replaced_sequences();
  return false;
}

size_t PlainDocuments::CutPosition() const {
  if (options_.document == DocumentUnit::kFile) return CutAfterSpace(pending_, searched_);
  const size_t newline = std::string_view(pending_).substr(searched_).find_last_of('\n');
  if (newline != std::string_view::npos) return searched_ + newline + 1;
  return pending_.size() < kMaxUnbrokenBytes ? 0 : CutAfterSpace(pending_, 0);
}

void PlainDocuments::Give(std::string_view text, TextBlock* block) {
  while (!text.empty()) {
    const PlainSplitter::Portion portion = splitter_.Next(text);
    if (portion.given && !IsBad()) {
      block->Append(text.substr(0, portion.bytes), portion.ends_document);
    }
    if (portion.ends_document) {
      next_bad_ += IsBad();
      ++document_;
    }
    text.remove_prefix(portion.bytes);
  }
}

}  // namespace treeformer::datasets
