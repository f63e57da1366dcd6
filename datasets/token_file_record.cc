#include "datasets/token_file_record.h"

#include <filesystem>
#include <fstream>
#include <sstream>

#include "kernels/base/output_file.h"

namespace treeformer::datasets {

TokenFileRecords LoadTokenFileRecords(const std::string& path) {
  TokenFileRecords records;
  std::error_code error;
  if (!std::filesystem::is_regular_file(path, error)) return records;
  std::ifstream file(path);
  for (std::string line; std::getline(file, line);) {
    std::istringstream numbers(line);
    TokenFileRecord r;
    numbers >> r.bytes >> r.modified >> r.inode >> r.header >> r.tokens >> r.unknown_tokens;
    if (numbers && numbers.peek() == EOF) records.push_back(r);
  }
  return records;
}

void SaveTokenFileRecords(const TokenFileRecords& records, const std::string& path) {
  std::ostringstream text;
  for (const TokenFileRecord& r : records) {
    text << r.bytes << ' ' << r.modified << ' ' << r.inode << ' ' << r.header << ' ' << r.tokens
         << ' ' << r.unknown_tokens << '\n';
  }
  OutputFile file(path);
  file.Append(text.str().data(), static_cast<int64_t>(text.str().size()));
  file.Commit();
}

}  // namespace treeformer::datasets
