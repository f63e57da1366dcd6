#pragma once

// The documents of a text, and zstd frames for it.

#include <gtest/gtest.h>
#include <zstd.h>

#include <string>
#include <vector>

#include "datasets/text_source.h"

namespace treeformer::datasets {

using Documents = std::vector<std::string>;

// Block sizes that cut in every place, and one that cuts nowhere.
inline const std::vector<int64_t> kBlockBytes{1, 2, 3, 5, 7, 64, 1 << 18};

// However they were cut into pieces; checks that progress ends at the total.
inline Documents ReadDocuments(const TextSourceOptions& options, TextReport* report = nullptr) {
  TextSource source(options);
  Documents documents;
  TextBlock block;
  std::string document;
  while (source.Next(&block)) {
    EXPECT_EQ(block.pieces.back().end, block.text.size());
    for (size_t i = 0; i < block.pieces.size(); ++i) {
      document += block.Text(i);
      if (!block.pieces[i].ends_document) continue;
      documents.push_back(document);
      document.clear();
    }
  }
  EXPECT_EQ(document, "") << "a document without end";
  if (source.total_bytes() > 0) {
    EXPECT_EQ(block.bytes_read, source.total_bytes());
  }
  if (report != nullptr) *report = source.report();
  return documents;
}

inline std::string CompressZstd(const std::string& text) {
  std::string compressed(ZSTD_compressBound(text.size()), '\0');
  compressed.resize(
      ZSTD_compress(compressed.data(), compressed.size(), text.data(), text.size(), 3));
  return compressed;
}

// As `zstd --long` writes it to a pipe: the frame does not tell its size, and asks for the window.
inline std::string CompressZstdLong(const std::string& text, int window_log) {
  ZSTD_CCtx* const context = ZSTD_createCCtx();
  ZSTD_CCtx_setParameter(context, ZSTD_c_windowLog, window_log);
  std::string compressed(ZSTD_compressBound(text.size()) + 64, '\0');
  ZSTD_outBuffer output{compressed.data(), compressed.size(), 0};
  ZSTD_inBuffer input{text.data(), text.size(), 0};
  ZSTD_compressStream2(context, &output, &input, ZSTD_e_flush);
  EXPECT_EQ(ZSTD_compressStream2(context, &output, &input, ZSTD_e_end), 0u);
  ZSTD_freeCCtx(context);
  compressed.resize(output.pos);
  return compressed;
}

}  // namespace treeformer::datasets
