#include "launcher/run/text_report.h"

#include "kernels/base/user_error.h"

namespace treeformer {

datasets::PrepareProgress ShowBytes(Progress& progress, const std::string& what) {
  return [&progress, what](int64_t read, int64_t total) {
    const std::string done = what + FormatBytes(static_cast<double>(read));
    if (total == 0) {
      progress.Bar(/*share=*/0, done);
    } else {
      progress.Bar(static_cast<double>(read) / static_cast<double>(total),
                   done + " of " + FormatBytes(static_cast<double>(total)));
    }
  };
}

void PrintTextReport(const datasets::TextReport& report, Progress& progress) {
  if (!report.left_out.empty()) progress.Line(report.left_out);
  if (report.replaced_sequences > 0) {
    progress.Line(Sentence(report.replaced_sequences, " invalid UTF-8 sequences replaced"));
  }
  if (report.bad_documents == 0) return;
  progress.Line(Sentence(report.bad_documents, " bad documents skipped:"));
  for (const std::string& sentence : report.first_bad) progress.Line("  " + sentence);
  const int64_t more = report.bad_documents - std::ssize(report.first_bad);
  if (more > 0) progress.Line(Sentence("  and ", more, " more"));
}

}  // namespace treeformer
