#include "datasets/prepare.h"

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <optional>
#include <span>
#include <utility>
#include <vector>

#include "datasets/held_out_split.h"
#include "datasets/input_files.h"
#include "datasets/ordered_pipeline.h"
#include "datasets/token_file.h"
#include "datasets/tokenizer.h"
#include "kernels/base/output_file.h"
#include "kernels/base/user_error.h"

namespace treeformer::datasets {
namespace {

struct TokenBlock {
  std::vector<int32_t> tokens;
  std::vector<TextBlock::Piece> pieces;  // .end counts tokens
  int64_t text_bytes = 0, bytes_read = 0, unknown_tokens = 0;
};

// Any of the files that are written for both.
bool ShareAFile(const std::string& a, const std::string& b) {
  namespace fs = std::filesystem;
  std::error_code error;
  for (const std::string& of_a : FilesWrittenFor(a)) {
    for (const std::string& of_b : FilesWrittenFor(b)) {
      if (fs::weakly_canonical(fs::absolute(of_a), error) ==
          fs::weakly_canonical(fs::absolute(of_b), error)) {
        return true;
      }
    }
  }
  return false;
}

void CheckOptions(const PrepareOptions& options) {
  if (options.output.empty()) throw UserError("no output given, expected a path for the tokens");
  RefuseToReplaceText(options.output, options.text.inputs);
  if (options.held_out_output.empty()) return;
  RefuseToReplaceText(options.held_out_output, options.text.inputs);
  if (ShareAFile(options.output, options.held_out_output)) {
    throw UserError(Sentence("the tokens and those held out are both to be written to ",
                             options.output, ", expected two files"));
  }
  if (!(options.held_out_fraction >= 1e-4 && options.held_out_fraction <= 0.5)) {
    throw UserError(
        Sentence("held_out_fraction is ", options.held_out_fraction, ", expected 0.0001 to 0.5"));
  }
  if (options.held_out_min_tokens < 1) {
    throw UserError(
        Sentence("held_out_min_tokens is ", options.held_out_min_tokens, ", expected 1 or more"));
  }
}

TokenBlock Tokenize(const Vocabulary& vocabulary, const TextBlock& block, Tokenizer* tokenizer) {
  TokenBlock out;
  out.text_bytes = block.text.size();
  out.bytes_read = block.bytes_read;
  out.tokens.reserve(block.text.size() / 3);
  for (size_t i = 0; i < block.pieces.size(); ++i) {
    tokenizer->Encode(block.Text(i), &out.tokens);
    out.pieces.push_back({out.tokens.size(), block.pieces[i].ends_document});
  }
  out.unknown_tokens = std::count(out.tokens.begin(), out.tokens.end(), vocabulary.unknown());
  return out;
}

// Where token blocks go: one file, or two through the split.
class Writer {
 public:
  Writer(const Vocabulary& vocabulary, const PrepareOptions& options)
      : training_(options.output, vocabulary.hash(), vocabulary.size()) {
    if (options.held_out_output.empty()) return;
    held_out_.emplace(options.held_out_output, vocabulary.hash(), vocabulary.size());
    split_.emplace(vocabulary, options.held_out_fraction, options.held_out_min_tokens, &training_,
                   &*held_out_);
  }

  void Write(const TokenBlock& block, PrepareStatistics* statistics) {
    size_t begin = 0;
    for (const auto& [end, ends_document] : block.pieces) {
      Append(std::span(block.tokens).subspan(begin, end - begin));
      if (ends_document) EndDocument(statistics);
      begin = end;
    }
    statistics->tokens += block.tokens.size();
    statistics->unknown_tokens += block.unknown_tokens;
    statistics->text_bytes += block.text_bytes;
  }

  void Finish(const PrepareOptions& options, PrepareStatistics* statistics) {
    if (statistics->documents == 0) {
      throw UserError(Sentence("the input holds no text: all of its ", statistics->empty_documents,
                               " documents are empty"));
    }
    if (held_out_ && held_out_->documents() == 0) {
      throw UserError(
          Sentence("nothing can be held out: held_out_fraction ", options.held_out_fraction, " of ",
                   statistics->documents, " documents with ", statistics->tokens,
                   " tokens is less than one document and less than ", options.held_out_min_tokens,
                   " tokens of any; give more text or a larger fraction"));
    }
    if (held_out_) {
      statistics->held_out_documents = held_out_->documents();
      statistics->held_out_tokens = held_out_->tokens();
      held_out_->Seal();  // a disk that is full is found before either file appears
      training_.Seal();
      held_out_->Finish();
    }
    training_.Finish();
  }

 private:
  void Append(std::span<const int32_t> tokens) {
    document_has_tokens_ |= !tokens.empty();
    split_ ? split_->Append(tokens) : training_.Append(tokens);
  }

  void EndDocument(PrepareStatistics* statistics) {
    if (document_has_tokens_) {
      ++statistics->documents;
      split_ ? split_->EndDocument() : training_.EndDocument();
    } else {
      ++statistics->empty_documents;
    }
    document_has_tokens_ = false;
  }

  TokenFileWriter training_;
  std::optional<TokenFileWriter> held_out_;
  std::optional<HeldOutSplit> split_;
  bool document_has_tokens_ = false;
};

}  // namespace

PrepareStatistics Prepare(const Vocabulary& vocabulary, const PrepareOptions& options,
                          const PrepareProgress& progress) {
  CheckOptions(options);
  const int threads = WorkingThreads(options.threads);
  const auto start = std::chrono::steady_clock::now();
  TextSource source(options.text);
  Writer writer(vocabulary, options);
  PrepareStatistics statistics;
  std::vector<Tokenizer> tokenizers;
  for (int i = 0; i < threads; ++i) tokenizers.emplace_back(vocabulary, options.lower_case);
  OrderedPipeline<TextBlock, TokenBlock> pipeline(threads);
  pipeline.Run([&](TextBlock* block) { return source.Next(block); },
               [&](int thread, const TextBlock& block) {
                 return Tokenize(vocabulary, block, &tokenizers[thread]);
               },
               [&](const TokenBlock& block) {
                 writer.Write(block, &statistics);
                 if (progress) progress(block.bytes_read, source.total_bytes());
               });
  writer.Finish(options, &statistics);
  statistics.text = source.report();
  const std::chrono::duration<double> elapsed = std::chrono::steady_clock::now() - start;
  statistics.seconds = elapsed.count();
  return statistics;
}

}  // namespace treeformer::datasets
