#include "launcher/run/stage_range.h"

#include <charconv>
#include <string_view>

#include "kernels/base/user_error.h"

namespace treeformer {

namespace {

// The whole of `text` as a number.
bool ParseNumber(std::string_view text, int& number) {
  const char* const end = text.data() + text.size();
  const auto [stop, error] = std::from_chars(text.data(), end, number);
  return error == std::errc() && stop == end;
}

}  // namespace

StageRange ParseStages(const std::string& text, const BootstrapPlan& plan) {
  const int stages = static_cast<int>(plan.stages().size());
  if (text.empty()) return {0, stages};
  const size_t colon = text.find(':');
  StageRange range;
  if (colon == std::string::npos ||
      !ParseNumber(std::string_view(text).substr(0, colon), range.begin) ||
      !ParseNumber(std::string_view(text).substr(colon + 1), range.end)) {
    throw UserError(Sentence("--stages is '", text, "'; expected BEGIN:END, the first stage and ",
                             "the one behind the last, such as 0:1"));
  }
  if (range.begin < 0 || range.begin >= range.end || range.end > stages) {
    throw UserError(Sentence("--stages is ", text, ", but the plan has the stages 0 to ",
                             stages - 1, "; expected 0 <= BEGIN < END <= ", stages));
  }
  return range;
}

void RequireStagesBefore(const StageRange& range, const BootstrapPlan& plan, int64_t step,
                         const std::string& run_directory) {
  const int64_t first = range.first_step(plan);
  if (step >= first) return;
  throw UserError(Sentence("--stages=", range.begin, ":", range.end, " begins at step ", first,
                           ", but the run in ", run_directory, " has done ", step,
                           " steps; expected a run that --stages=0:", range.begin,
                           " has brought there"));
}

std::string DescribeEnd(const StageRange& range, const BootstrapPlan& plan) {
  const size_t stages = plan.stages().size();
  const bool one = range.end - range.begin == 1;
  return Sentence(one ? "stage " : "stages ", range.begin,
                  one ? "" : Sentence(" to ", range.end - 1), " of ", stages,
                  one ? " is done" : " are done", "; go on with --stages=", range.end, ":", stages,
                  ", or without --stages");
}

}  // namespace treeformer
