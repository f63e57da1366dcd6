// A vocabulary file of any bytes, and text split by it.

#include "datasets/vocabulary.h"

#include "datasets/tokenizer.h"
#include "tests/fuzz/fuzz.h"

namespace treeformer {

void FuzzOne(std::string_view input) {
  const std::string path = FuzzPath("vocab.txt");
  PutFile(path, input);
  const datasets::Vocabulary vocabulary = datasets::Vocabulary::Load(path);
  for (const bool lower_case : {false, true}) {
    datasets::Tokenizer tokenizer(vocabulary, lower_case);
    std::vector<int32_t> ids;
    tokenizer.Encode("The quick \u00e9 \u4e00##a [UNK] abc, a.\n", &ids);
    for (const int32_t id : ids) {
      Promise(id >= 0 && id < vocabulary.size(), "ids are of the vocabulary");
    }
  }
}

}  // namespace treeformer
