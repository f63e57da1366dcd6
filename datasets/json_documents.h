#pragma once

// JsonDocuments: a file of JSON lines -> documents: a string field of each object.
//
// A line may be of any length: it is held in memory whole (twice, while it grows), and its text is
// given in portions, cut only after ASCII white space or inside a run of 1 MiB without any.  Blank
// lines, and a byte order mark, are no documents.

#include <string>
#include <string_view>

#include "datasets/documents.h"
#include "datasets/text_reader.h"

namespace treeformer::datasets {

class JsonDocuments : public DocumentReader {
 public:
  JsonDocuments(const InputFile& file, const TextSourceOptions& options, TextReport* report);

  bool Next(TextBlock* block) override;
  int64_t bytes_read() const override { return reader_.bytes_read(); }

 private:
  bool NextLine();              // into line_; false at the end
  void DropLines();             // those behind us
  void Begin();                 // the document of line_, unless it is blank or bad
  void RefuseMarks();           // of line_
  std::string_view FindText();  // of line_
  void GiveText(TextBlock* block);

  const std::string path_;
  const TextSourceOptions& options_;
  TextReport* const report_;
  TextReader reader_;
  bool at_end_ = false;

  std::string pending_;  // lines, at line_begin_ the next
  size_t line_begin_ = 0;
  size_t searched_ = 0;    // no line ends in [line_begin_, searched_)
  int64_t position_ = 0;   // of pending_ in the text of the file
  std::string_view line_;  // of pending_
  int64_t line_number_ = 0;

  bool document_open_ = false;
  std::string_view escaped_;  // of line_, not yet decoded
  std::string text_;          // decoded and not yet given
};

}  // namespace treeformer::datasets
