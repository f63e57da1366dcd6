// A file of TensorBoard events: one variant of any bytes, one of records with the right checksums.

#include <google/protobuf/stubs/logging.h>

#include <algorithm>

#include "launcher/report/tensorboard.h"
#include "tests/fuzz/fuzz.h"

namespace treeformer {

void FuzzOne(std::string_view input) {
  static const bool quiet = (google::protobuf::SetLogHandler(nullptr), true);  // of invalid UTF-8
  (void)quiet;
  const int variant = TakeByte(&input);
  std::string bytes(input);
  if (variant & 1) {
    bytes.clear();
    while (!input.empty()) {
      const std::string_view record = input.substr(0, TakeByte(&input));
      input.remove_prefix(std::min(record.size(), input.size()));
      bytes += FrameRecord(record);
    }
  }
  PutFile(FuzzPath("events"), bytes);
  int64_t values = 0;
  for (const auto& event : ReadEvents(FuzzPath("events"))) values += event.summary().value_size();
  Promise(values >= 0, "values are counted");
}

}  // namespace treeformer
