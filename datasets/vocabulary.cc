#include "datasets/vocabulary.h"

#include <xxhash.h>

#include <algorithm>
#include <sstream>
#include <utility>

#include "datasets/utf8.h"
#include "kernels/base/output_file.h"
#include "kernels/base/regular_file.h"
#include "kernels/base/user_error.h"

namespace treeformer::datasets {

Vocabulary Vocabulary::Load(const std::string& path) {
  std::istringstream file(ReadRegularFile(path));
  std::vector<std::string> tokens;
  for (std::string line; std::getline(file, line);) {
    constexpr std::string_view kByteOrderMark = "\xEF\xBB\xBF";
    if (tokens.empty() && line.starts_with(kByteOrderMark)) line.erase(0, kByteOrderMark.size());
    if (line.ends_with('\r')) line.pop_back();
    if (ValidUtf8Prefix(line) != line.size()) {
      throw UserError(Sentence("vocabulary ", path, ", line ", tokens.size() + 1,
                               ": invalid UTF-8, expected one token a line"));
    }
    tokens.push_back(std::move(line));
  }
  return Vocabulary(std::move(tokens), path);
}

Vocabulary::Vocabulary(std::vector<std::string> tokens, const std::string& source)
    : tokens_(std::move(tokens)) {
  if (tokens_.empty()) throw UserError(Sentence("vocabulary ", source, " is empty"));
  std::string contents;
  for (int32_t id = 0; id < size(); ++id) {
    const std::string_view token = tokens_[id];
    ids_[token] = id;
    if (IsContinuation(id)) continuations_[token.substr(2)] = id;
    longest_token_bytes_ = std::max(longest_token_bytes_, token.size());
    contents.append(token).push_back('\n');
  }
  hash_ = XXH3_64bits(contents.data(), contents.size());
  pad_ = Special("[PAD]", source);
  unknown_ = Special("[UNK]", source);
  cls_ = Special("[CLS]", source);
  sep_ = Special("[SEP]", source);
  mask_ = Special("[MASK]", source);
}

void Vocabulary::Save(const std::string& path) const {
  OutputFile file(path);
  for (const std::string& token : tokens_) {
    file.Append(token.data(), token.size());
    file.Append("\n", 1);
  }
  file.Commit();
}

int32_t Vocabulary::Find(std::string_view token) const {
  const auto found = ids_.find(token);
  return found == ids_.end() ? kNone : found->second;
}

int32_t Vocabulary::FindPiece(std::string_view text, bool continuation) const {
  const Ids& ids = continuation ? continuations_ : ids_;
  const auto found = ids.find(text);
  return found == ids.end() ? kNone : found->second;
}

int32_t Vocabulary::Special(const std::string& token, const std::string& source) const {
  const int32_t id = Find(token);
  if (id == kNone) {
    throw UserError(Sentence("vocabulary ", source, " has no token ", token, " among its ", size(),
                             ", expected [PAD], [UNK], [CLS], [SEP] and [MASK]"));
  }
  return id;
}

size_t Vocabulary::Hash::operator()(std::string_view text) const {
  return XXH3_64bits(text.data(), text.size());
}

}  // namespace treeformer::datasets
