#pragma once

// TextSource: text files -> documents, as a stream of blocks of bounded size.
//
// Files come in the order of their paths.  In plain text a document is a file, a
// line, or what stands between blank lines; in JSON lines it is a named field.  A
// document may go on over several pieces and blocks: text is cut only after ASCII
// white space, or inside a run of 1 MiB without any.  The blocks are the same every
// time.
//
// A document with invalid UTF-8, or a line of JSON without a string at the field, is bad: it
// is a UserError, or skipped, counted and listed.  Anything else that cannot be used is a UserError
// (see TextReader, ListInputFiles).

#include <cstdint>
#include <memory>

#include "datasets/documents.h"
#include "datasets/input_files.h"

namespace treeformer::datasets {

class TextSource {
 public:
  explicit TextSource(TextSourceOptions options);

  bool Next(TextBlock* block);  // overwrites *block; false at the end

  int64_t total_bytes() const { return total_bytes_; }  // on disk; 0: unknown, of pipes
  const TextReport& report() const { return report_; }  // so far

 private:
  std::unique_ptr<DocumentReader> Open(const InputFile& file);

  const TextSourceOptions options_;
  const InputFiles inputs_;
  int64_t total_bytes_ = 0;
  int64_t closed_bytes_ = 0;  // of the files behind us
  TextReport report_;

  size_t next_file_ = 0;
  std::unique_ptr<DocumentReader> reader_;  // of the file before next_file_, or null
};

}  // namespace treeformer::datasets
