#include "launcher/run/verified_data.h"

#include <algorithm>
#include <chrono>
#include <cstring>
#include <thread>
#include <type_traits>

#include "datasets/token_file.h"
#include "launcher/report/progress.h"

namespace treeformer {

using datasets::TokenFileRecord;
using datasets::TokenFileRecords;

namespace {

// The records of rank 0 reach all ranks; a rank that waits sleeps, so that rank 0 has the cores.
void ShareQuietly(dist::Communicator& communicator, TokenFileRecords& records) {
  static_assert(std::is_trivially_copyable_v<TokenFileRecord>);
  const auto bytes = records.size() * sizeof(TokenFileRecord);
  std::vector<int32_t> words(bytes / sizeof(int32_t), 0);
  if (communicator.rank() == 0) memcpy(words.data(), records.data(), bytes);
  const View<int32_t> view(words.data(), {static_cast<int64_t>(words.size())});
  dist::Request request = communicator.StartBroadcast(view, /*root=*/0, nullptr);
  while (!request.Test()) std::this_thread::sleep_for(std::chrono::milliseconds(20));
  memcpy(static_cast<void*>(records.data()), words.data(), bytes);
}

}  // namespace

std::string VerifiedDataFile(const std::string& run_directory) {
  return run_directory + "/data/verified.txt";
}

std::string UnknownShare(const TokenFileRecord& file) {
  const double tokens = static_cast<double>(std::max<int64_t>(file.tokens, 1));
  return FormatFixed(100 * static_cast<double>(file.unknown_tokens) / tokens, 3) + " %";
}

TokenFileRecords VerifyTokenFiles(dist::Communicator& communicator,
                                  const std::vector<std::string>& paths,
                                  const datasets::Vocabulary& vocabulary, const std::string& record,
                                  bool remembers) {
  TokenFileRecords records(paths.size());
  if (communicator.rank() == 0) {
    const TokenFileRecords known = datasets::LoadTokenFileRecords(record);
    for (size_t i = 0; i < paths.size(); ++i) {
      records[i] = datasets::TokenFile::Open(paths[i], vocabulary, known).record();
    }
    if (remembers && records != known) datasets::SaveTokenFileRecords(records, record);
  }
  ShareQuietly(communicator, records);
  return records;
}

}  // namespace treeformer
