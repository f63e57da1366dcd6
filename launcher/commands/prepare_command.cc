#include "datasets/prepare.h"
#include "kernels/base/output_file.h"
#include "kernels/base/user_error.h"
#include "launcher/commands/commands.h"
#include "launcher/program/flag_values.h"
#include "launcher/program/flags.h"
#include "launcher/report/progress.h"
#include "launcher/run/text_report.h"

namespace treeformer {

namespace {

void PrintCounts(const datasets::PrepareStatistics& made, Progress& progress) {
  const double unknown =
      made.tokens > 0 ? 100.0 * static_cast<double>(made.unknown_tokens) / made.tokens : 0;
  progress.Line(Sentence(made.documents, " documents (", made.empty_documents,
                         " empty ones left out), ", made.tokens, " tokens, ",
                         FormatFixed(unknown, 3), " % unknown"));
  if (!FLAGS_held_out.empty()) {
    progress.Line(Sentence("held out: ", made.held_out_documents, " documents or ends of such, ",
                           made.held_out_tokens, " tokens"));
  }
  PrintTextReport(made.text, progress);
  progress.Line(Sentence(FormatBytes(static_cast<double>(made.text_bytes)), " of text in ",
                         FormatFixed(made.seconds, 1), " s, ",
                         FormatFixed(static_cast<double>(made.text_bytes) / 1e6 / made.seconds, 1),
                         " MB/s"));
}

int RunPrepare(dist::Communicator&) {
  RequireFlag(FLAGS_text, "text", "a folder, glob or file");
  RequireFlag(FLAGS_vocabulary, "vocabulary", "a vocab.txt");
  RequireFlag(FLAGS_output, "output", "the token file to write");
  if (FLAGS_held_out_fraction < 0.0001 || FLAGS_held_out_fraction > 0.5) {
    throw UserError(
        Sentence("--held_out_fraction is ", FLAGS_held_out_fraction, "; expected 0.0001 to 0.5"));
  }
  datasets::PrepareOptions options;
  options.text = TextSourceFromFlags();
  options.lower_case = FLAGS_lower_case;
  options.output = FLAGS_output;
  options.held_out_output = FLAGS_held_out;
  options.held_out_fraction = FLAGS_held_out_fraction;
  options.threads = FLAGS_threads;
  for (const std::string& output : {FLAGS_output, FLAGS_held_out}) {
    RefuseToReplaceInput(output, {FLAGS_vocabulary});
  }
  Progress progress(/*speaks=*/true, /*plain_seconds=*/10);
  PrintCounts(Prepare(datasets::Vocabulary::Load(FLAGS_vocabulary), options, ShowBytes(progress)),
              progress);
  return 0;
}

}  // namespace

Command PrepareCommand() {
  return {
      "prepare",
      "turns text into token files",
      "Tokenises as BERT does and writes a token file that `train` maps into memory.  Reads "
      ".txt and .jsonl\nfiles, each also .zst, and pipes, as a stream: memory stays small whatever "
      "the size of the text, but\nfor up to twice the longest line of JSON and the window of a "
      ".zst frame (--zstd_window_log).  Hidden\nfiles of a folder, and those of other suffixes, "
      "are left out.  With --held_out a share of the text goes\ninto a second file for "
      "evaluation.\n\n"
      "  treeformer prepare --text=books --vocabulary=vocab.txt --output=books.tokens "
      "--held_out=test.tokens\n"
      "  treeformer train --set=data.token_file=books.tokens,"
      "data.held_out_token_file=test.tokens,data.vocabulary=vocab.txt\n",
      {"text", "vocabulary", "output", "held_out", "held_out_fraction", "lower_case", "document",
       "json_field", "replace_invalid_utf8", "skip_bad_documents", "zstd_window_log", "threads"},
      RunPrepare,
      /*uses_ranks=*/false};
}

}  // namespace treeformer
