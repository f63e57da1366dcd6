#include "datasets/text_source.h"

#include <algorithm>
#include <utility>

#include "datasets/json_documents.h"
#include "datasets/plain_documents.h"

namespace treeformer::datasets {

TextSource::TextSource(TextSourceOptions options)
    : options_(std::move(options)), inputs_(ListInputFiles(options_.inputs)) {
  report_.left_out = inputs_.left_out;
  bool pipes = false;
  for (const InputFile& file : inputs_.files) {
    total_bytes_ += file.bytes;
    pipes |= file.pipe;
  }
  if (pipes) total_bytes_ = 0;
}

bool TextSource::Next(TextBlock* block) {
  block->text.clear();
  block->pieces.clear();
  const auto full = [&] {  // documents may be empty
    return std::ssize(block->text) >= options_.block_bytes ||
           std::ssize(block->pieces) >= options_.block_bytes;
  };
  while (!full()) {
    if (!reader_) {
      if (next_file_ == inputs_.files.size()) break;
      reader_ = Open(inputs_.files[next_file_++]);
    }
    if (!reader_->Next(block)) {
      closed_bytes_ += reader_->bytes_read();
      reader_.reset();
    }
  }
  block->bytes_read = closed_bytes_ + (reader_ ? reader_->bytes_read() : 0);
  return !block->pieces.empty();
}

std::unique_ptr<DocumentReader> TextSource::Open(const InputFile& file) {
  if (file.json_lines) return std::make_unique<JsonDocuments>(file, options_, &report_);
  return std::make_unique<PlainDocuments>(file, options_, &report_);
}

}  // namespace treeformer::datasets
