#include "datasets/input_files.h"
#include "datasets/vocabulary_trainer.h"
#include "kernels/base/output_file.h"
#include "kernels/base/user_error.h"
#include "launcher/commands/commands.h"
#include "launcher/program/flag_values.h"
#include "launcher/program/flags.h"
#include "launcher/report/progress.h"
#include "launcher/run/text_report.h"

namespace treeformer {

namespace {

int RunVocab(dist::Communicator&) {
  RequireFlag(FLAGS_text, "text", "a folder, glob or file");
  RequireFlag(FLAGS_output, "output", "the vocab.txt to write");
  datasets::VocabularyTrainerOptions options;
  options.text = TextSourceFromFlags();
  options.lower_case = FLAGS_lower_case;
  options.size = FLAGS_size;
  options.max_alphabet = FLAGS_alphabet;
  options.threads = FLAGS_threads;
  datasets::RefuseToReplaceText(FLAGS_output, options.text.inputs);
  { const OutputFile writable(FLAGS_output); }  // before the work, not after it
  Progress progress(/*speaks=*/true, /*plain_seconds=*/10);
  datasets::VocabularyTrainerStatistics statistics;
  const datasets::Vocabulary vocabulary =
      TrainVocabulary(options, &statistics, ShowBytes(progress));
  vocabulary.Save(FLAGS_output);
  progress.Line(Sentence(
      FLAGS_output, ": ", vocabulary.size(), " tokens, ", statistics.characters,
      " of them characters, from ", FormatCount(static_cast<double>(statistics.words)), " words (",
      statistics.distinct_words, " different); ",
      FormatFixed(static_cast<double>(statistics.text_bytes) / 1e6 / statistics.seconds, 1),
      " MB/s, ", FormatDuration(statistics.seconds)));
  PrintTextReport(statistics.text, progress);
  const double left_out = 100.0 * static_cast<double>(statistics.left_out_words) /
                          static_cast<double>(statistics.words);
  progress.Line(Sentence(FormatFixed(left_out, 3),
                         " % of the words cannot be spelt and will be unknown: rare characters "
                         "(--alphabet) or over 100 characters"));
  if (statistics.forgotten_words > 0) {
    progress.Line(Sentence(statistics.forgotten_words,
                           " words were left out: rare among too many different ones"));
  }
  if (vocabulary.size() < FLAGS_size) {
    progress.Line(Sentence("the text gives no more than these of --size=", FLAGS_size));
  }
  return 0;
}

}  // namespace

Command VocabCommand() {
  return {"vocab",
          "trains a WordPiece vocabulary on text",
          "Reads .txt and .jsonl files, each also .zst, and pipes, and writes a vocab.txt in the "
          "form of "
          "Hugging Face BERT:\nthe special tokens, the characters, and the pieces that merge most "
          "often.  The result does not depend\non the number of threads.\n\n"
          "  treeformer vocab --text=books --size=8000 --output=vocab.txt\n"
          "  treeformer vocab --text='crawl/*.jsonl.zst' --json_field=body --output=vocab.txt\n",
          {"text", "output", "size", "alphabet", "lower_case", "document", "json_field",
           "replace_invalid_utf8", "skip_bad_documents", "zstd_window_log", "threads"},
          RunVocab,
          /*uses_ranks=*/false};
}

}  // namespace treeformer
