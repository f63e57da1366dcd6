// The tokenizer against a slow one, on any valid UTF-8.

#include "datasets/tokenizer.h"

#include "tests/fuzz/fuzz.h"
#include "tests/fuzz/slow_tokenizer.h"
#include "tests/fuzz/small_vocabulary.h"

namespace treeformer {

void FuzzOne(std::string_view input) {
  static datasets::Tokenizer cased(SmallVocabulary(), /*lower_case=*/false);
  static datasets::Tokenizer uncased(SmallVocabulary(), /*lower_case=*/true);
  std::string text;
  while (!input.empty()) {
    const datasets::Utf8Sequence sequence = datasets::FirstSequence(input);
    if (sequence.kind == datasets::Utf8Sequence::kValid) text += input.substr(0, sequence.bytes);
    input.remove_prefix(sequence.bytes);
  }
  for (const bool lower_case : {false, true}) {
    std::vector<int32_t> ids;
    (lower_case ? uncased : cased).Encode(text, &ids);
    Promise(ids == slow::Tokenize(text, SmallVocabulary(), lower_case),
            "both tokenizers give the same ids");
  }
}

}  // namespace treeformer
