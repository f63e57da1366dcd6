#pragma once

// Event files that TensorBoard opens: scalars and histograms by step.
//
// A file is a list of TFRecords, each an Event (launcher/report/tensorboard.proto):
//   uint64 length, uint32 masked crc of the length, the record, uint32 masked crc of the record
// all little-endian; masked(c) = rotate right(c, 15) + 0xa282ead8, crc = CRC-32C (Castagnoli).

#include <cstdint>
#include <fstream>
#include <string>
#include <string_view>
#include <vector>

#include "launcher/report/tensorboard.pb.h"

namespace treeformer {

uint32_t Crc32c(std::string_view bytes);
uint32_t MaskedCrc32c(std::string_view bytes);
std::string FrameRecord(std::string_view record);  // as it stands in the file

class EventWriter {
 public:
  // Begins or continues the event file of `directory`.  Records of a step after `last_step` are
  // dropped, and so is a record that is cut short: what a stopped run wrote beyond its checkpoint.
  // Throws UserError when the file cannot be written.
  EventWriter(const std::string& directory, int64_t last_step);

  void AddScalar(const std::string& tag, double value);
  // 30 buckets of equal width over the values.
  void AddHistogram(const std::string& tag, const std::vector<double>& values);
  // Writes what was added as one event of `step`, flushed.
  void Write(int64_t step);

 private:
  tensorboard::Summary pending_;
  std::string path_;
  std::ofstream file_;
};

// The events of a file, up to the first record that is damaged or cut short.
std::vector<tensorboard::Event> ReadEvents(const std::string& path);

}  // namespace treeformer
