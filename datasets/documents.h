#pragma once

// Documents: TextSourceOptions say how text is read, TextBlock holds some of it, TextReport tells
// what was replaced and left out, and a DocumentReader makes documents of one file.

#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "datasets/text_reader.h"

namespace treeformer::datasets {

constexpr size_t kMaxUnbrokenBytes = 1 << 20;  // of text without white space, in one piece

enum class DocumentUnit { kFile, kLine, kBlankLine };

struct TextSourceOptions {
  std::vector<std::string> inputs;              // folders, globs, files, pipes
  DocumentUnit document = DocumentUnit::kFile;  // in plain text
  std::string json_field = "text";              // in JSON lines
  bool replace_invalid_utf8 = false;            // else it makes a bad document
  bool skip_bad_documents = false;              // else refused
  int zstd_window_log = 31;                     // frames may take 2^this bytes of memory
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

  // Adds to the document that the last piece leaves open, or begins one.
  void Append(std::string_view more, bool ends_document) {
    text.append(more);
    if (pieces.empty() || pieces.back().ends_document) {
      pieces.push_back({text.size(), ends_document});
    } else {
      pieces.back() = {text.size(), ends_document};
    }
  }
};

struct TextReport {
  static constexpr size_t kListed = 5;

  int64_t replaced_sequences = 0;      // of invalid UTF-8, and surrogates without their other half
  int64_t bad_documents = 0;           // skipped
  std::vector<std::string> first_bad;  // of them: a sentence with file and line
  std::string left_out;                // files of the folders that are no text; or empty

  void AddBad(const std::string& sentence) {
    if (++bad_documents <= static_cast<int64_t>(kListed)) first_bad.push_back(sentence);
  }
};

class DocumentReader {
 public:
  virtual ~DocumentReader() = default;

  // Appends about options.block_bytes of text, perhaps none, and returns true, or false at the
  // end of the file.  A document goes on where the last piece does not end it.
  virtual bool Next(TextBlock* block) = 0;

  virtual int64_t bytes_read() const = 0;  // of the file on disk
};

// What these options make of invalid UTF-8: it is replaced, refused, or marked for the reader that
// skips its document.
InvalidUtf8 InvalidUtf8Of(const TextSourceOptions& options);

// Nothing but ASCII white space.
bool IsBlank(std::string_view text);

// Where `text` may be cut, of which the first `searched` bytes hold no white space: after the last
// white space, or, in a run of 1 MiB without any, at the end; else 0.
size_t CutAfterSpace(std::string_view text, size_t searched);

}  // namespace treeformer::datasets
