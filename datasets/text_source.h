#pragma once

// TextSource: text files -> documents, as a stream of blocks of bounded size.
//
// Files come in the order of their paths.  In plain text a document is a file, a
// line, or what stands between blank lines; in JSON lines it is a named field.  A
// document may go on over several pieces and blocks: text is cut only after ASCII
// white space, or inside a run of 1 MiB without any.  The blocks are the same every
// time.  What cannot be used is a UserError (see TextReader, ListInputFiles).

#include <cstdint>
#include <memory>
#include <string>
#include <string_view>
#include <vector>

#include "datasets/input_files.h"
#include "datasets/text_reader.h"

namespace datasets {

enum class DocumentUnit { kFile, kLine, kBlankLine };

struct TextSourceOptions {
  std::vector<std::string> inputs;              // folders, globs, files
  DocumentUnit document = DocumentUnit::kFile;  // in plain text
  std::string json_field = "text";              // in JSON lines
  bool replace_invalid_utf8 = false;            // else refused
  int64_t block_bytes = 1 << 18;
};

// Pieces one after another in one text, valid UTF-8.
struct TextBlock {
  struct Piece {
    size_t end;          // piece i is text[end of piece i - 1, end)
    bool ends_document;  // else the document goes on in the next piece
  };
  std::string text;
  std::vector<Piece> pieces;
  int64_t bytes_read = 0;  // of the source on disk, up to here

  std::string_view Text(size_t i) const {
    const size_t begin = i == 0 ? 0 : pieces[i - 1].end;
    return std::string_view(text).substr(begin, pieces[i].end - begin);
  }
};

class TextSource {
 public:
  explicit TextSource(TextSourceOptions options);

  bool Next(TextBlock* block);  // overwrites *block; false at the end

  int64_t total_bytes() const { return total_bytes_; }  // on disk
  int64_t replaced_sequences() const;                   // invalid UTF-8, so far

 private:
  void OpenNextFile();
  size_t CutPosition(bool end_of_file) const;  // of pending_
  void SplitLines(std::string_view text, TextBlock* block);
  void SplitBlankLines(std::string_view text, TextBlock* block);
  void SplitJsonLines(std::string_view text, TextBlock* block);
  void EndFile(TextBlock* block);

  const TextSourceOptions options_;
  const std::vector<InputFile> files_;
  int64_t total_bytes_ = 0;
  int64_t closed_bytes_ = 0, closed_replaced_ = 0;  // of the files behind us

  size_t next_file_ = 0;
  std::unique_ptr<TextReader> reader_;  // of files_[next_file_ - 1], or null
  std::string pending_;                 // text read and not yet given
  bool document_open_ = false;          // some of its text has been given
  bool line_has_text_ = false;          // the line that pending_ goes on with (kBlankLine)
  int64_t json_line_ = 0;               // lines given of this file
};

}  // namespace datasets
