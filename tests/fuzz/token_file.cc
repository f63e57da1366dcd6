// A token file of any bytes.

#include "datasets/token_file.h"

#include "tests/fuzz/fuzz.h"

namespace treeformer {

void FuzzOne(std::string_view input) {
  const std::string path = FuzzPath("tokens");
  PutFile(path, input);
  const datasets::TokenFile file = datasets::TokenFile::Open(path);
  int64_t tokens = 0;
  for (int64_t i = 0; i < file.documents(); ++i) {
    for (const int32_t token : file.Document(i)) {
      Promise(token >= 0 && token < file.vocabulary_size(), "ids are of the vocabulary");
      ++tokens;
    }
  }
  Promise(tokens == file.tokens(), "the documents are all tokens");
}

}  // namespace treeformer
