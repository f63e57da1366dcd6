#pragma once

// PlainDocuments: a file of plain text -> documents: the file, its lines, or what stands
// between blank lines.
//
// Text is cut only after ASCII white space, or inside a run of 1 MiB without any.  Where bad
// documents are skipped, the file is read twice, first to find them, so that memory is bounded
// whatever the length of a document.  A pipe, which cannot be, is a UserError then.

#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "datasets/documents.h"
#include "datasets/text_reader.h"

namespace treeformer::datasets {

// Takes text from the front, in any portions.
class PlainSplitter {
 public:
  explicit PlainSplitter(DocumentUnit unit)
      : unit_(unit), document_open_(unit == DocumentUnit::kFile) {}

  struct Portion {
    size_t bytes;
    bool given;          // it belongs to a document
    bool ends_document;  // after it
  };
  Portion Next(std::string_view text);  // text is not empty
  bool document_open() const { return document_open_; }

 private:
  const DocumentUnit unit_;
  bool document_open_;          // some of its text has been taken, or it is the file
  bool line_has_text_ = false;  // the line that goes on with the next text (kBlankLine)
};

class PlainDocuments : public DocumentReader {
 public:
  PlainDocuments(const InputFile& file, const TextSourceOptions& options, TextReport* report);

  bool Next(TextBlock* block) override;
  int64_t bytes_read() const override { return reader_ ? reader_->bytes_read() : file_.bytes; }

 private:
  void FindBadDocuments();
  void FindBadDocuments(TextReader* reader);
  size_t CutPosition() const;  // of pending_
  void Give(std::string_view text, TextBlock* block);
  bool IsBad() const { return next_bad_ < bad_.size() && bad_[next_bad_] == document_; }

  const InputFile file_;
  const TextSourceOptions& options_;
  TextReport* const report_;
  std::vector<int64_t> bad_;  // numbers of documents, rising
  size_t next_bad_ = 0;
  int64_t document_ = 0;  // number of the one that is open, or comes next
  PlainSplitter splitter_;
  std::unique_ptr<TextReader> reader_;  // null where no document of the file is given
  std::string pending_;                 // text read and not yet given
  size_t searched_ = 0;                 // bytes of it that hold no place to cut
};

}  // namespace treeformer::datasets
