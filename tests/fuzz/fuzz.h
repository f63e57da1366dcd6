#pragma once

// Fuzz targets: any bytes, given to a reader of foreign input.  The reader takes them or throws a
// UserError; whatever else happens (another exception, a CHECK, a sanitizer's report, an answer
// that contradicts itself) ends the program.  What a reader gives is used, so that a wrong size is
// met.
//
// Each target is a file that defines FuzzOne.  Built by clang with the preset `fuzz` it is a
// libFuzzer program; elsewhere replay.cc gives it the corpus and mutations of it.

#include <string>
#include <string_view>

namespace treeformer {

void FuzzOne(std::string_view input);

// Ends the program where a reader has broken a promise.
void Promise(bool kept, const char* promise);

// PATH in this process' own folder, in memory where the machine has such a place.
std::string FuzzPath(const std::string& name);
void PutFile(const std::string& path, std::string_view bytes);  // overwrites

// The first byte decides between variants of a target; the rest is the input.
inline int TakeByte(std::string_view* input) {
  if (input->empty()) return 0;
  const int byte = static_cast<unsigned char>(input->front());
  input->remove_prefix(1);
  return byte;
}

}  // namespace treeformer
