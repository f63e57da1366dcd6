#include "datasets/documents.h"

namespace treeformer::datasets {
namespace {

constexpr std::string_view kSpaces = " \t\n\r";

}  // namespace

InvalidUtf8 InvalidUtf8Of(const TextSourceOptions& options) {
  if (options.replace_invalid_utf8) return InvalidUtf8::kReplace;
  return options.skip_bad_documents ? InvalidUtf8::kMark : InvalidUtf8::kRefuse;
}

bool IsBlank(std::string_view text) {
  return text.find_first_not_of(kSpaces) == std::string_view::npos;
}

size_t CutAfterSpace(std::string_view text, size_t searched) {
  const size_t last = text.substr(searched).find_last_of(kSpaces);
  if (last != std::string_view::npos) return searched + last + 1;
  return text.size() < kMaxUnbrokenBytes ? 0 : text.size();
}

}  // namespace treeformer::datasets
