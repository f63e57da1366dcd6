#include "launcher/report/tensorboard.h"

#include <glog/logging.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <bit>
#include <chrono>
#include <cmath>
#include <cstring>
#include <filesystem>
#include <iterator>
#include <limits>

#include "kernels/base/output_file.h"
#include "kernels/base/regular_file.h"
#include "kernels/base/user_error.h"

namespace treeformer {

using tensorboard::Event;
using tensorboard::Histogram;

static_assert(std::endian::native == std::endian::little);

namespace {

constexpr char kPrefix[] = "events.out.tfevents.";

std::array<uint32_t, 256> MakeCrcTable() {
  constexpr uint32_t kCastagnoliReflected = 0x82f63b78;
  std::array<uint32_t, 256> table{};
  for (uint32_t byte = 0; byte < 256; ++byte) {
    uint32_t crc = byte;
    for (int bit = 0; bit < 8; ++bit) crc = (crc >> 1) ^ (crc & 1 ? kCastagnoliReflected : 0);
    table[byte] = crc;
  }
  return table;
}

template <typename T>
std::string_view BytesOf(const T& value) {
  return {reinterpret_cast<const char*>(&value), sizeof value};
}

double WallTime() {
  using Seconds = std::chrono::duration<double>;
  return std::chrono::duration_cast<Seconds>(std::chrono::system_clock::now().time_since_epoch())
      .count();
}

// The file a run began with, or a new name.
std::string EventPath(const std::string& directory) {
  std::vector<std::string> found;
  std::error_code error;
  for (const auto& entry : std::filesystem::directory_iterator(directory, error)) {
    const std::string name = entry.path().filename();
    if (name.starts_with(kPrefix) && !name.ends_with(kUnfinishedSuffix))
      found.push_back(entry.path());
  }
  if (!found.empty()) return *std::min_element(found.begin(), found.end());
  char host[256] = "localhost";
  gethostname(host, sizeof host - 1);
  return Sentence(directory, "/", kPrefix, static_cast<int64_t>(WallTime()), ".", host);
}

}  // namespace

uint32_t Crc32c(std::string_view bytes) {
  static const std::array<uint32_t, 256> kTable = MakeCrcTable();
  uint32_t crc = ~uint32_t{0};
  for (const unsigned char byte : bytes) crc = kTable[(crc ^ byte) & 0xff] ^ (crc >> 8);
  return ~crc;
}

uint32_t MaskedCrc32c(std::string_view bytes) { return std::rotr(Crc32c(bytes), 15) + 0xa282ead8u; }

std::string FrameRecord(std::string_view record) {
  const uint64_t length = record.size();
  std::string frame(BytesOf(length));
  frame += BytesOf(MaskedCrc32c(BytesOf(length)));
  frame += record;
  frame += BytesOf(MaskedCrc32c(record));
  return frame;
}

std::vector<Event> ReadEvents(const std::string& path) {
  if (!std::filesystem::exists(path)) return {};
  const std::string bytes = ReadRegularFile(path, std::numeric_limits<int64_t>::max());
  std::vector<Event> events;
  constexpr size_t kHead = sizeof(uint64_t) + sizeof(uint32_t);
  size_t begin = 0, damaged = 0;
  while (begin + kHead <= bytes.size()) {
    uint64_t length = 0;
    std::memcpy(&length, bytes.data() + begin, sizeof length);
    const size_t left = bytes.size() - begin - kHead;
    if (length > left || left - length < sizeof(uint32_t)) break;
    const std::string_view record(bytes.data() + begin + kHead, length);
    const std::string frame = FrameRecord(record);
    // The length has a checksum of its own: where that is right, the next record is found.
    if (bytes.compare(begin, kHead, frame, 0, kHead) != 0) break;
    Event event;
    if (bytes.compare(begin, frame.size(), frame) == 0 &&
        event.ParseFromArray(record.data(), static_cast<int>(record.size()))) {
      events.push_back(event);
    } else {
      ++damaged;
    }
    begin += frame.size();
  }
  if (damaged > 0 || begin < bytes.size()) {
    LOG(WARNING) << path << ": left out are " << damaged << " damaged records and, from byte "
                 << begin << " on, " << bytes.size() - begin << " bytes that are no whole record";
  }
  return events;
}

EventWriter::EventWriter(const std::string& directory, int64_t last_step)
    : path_(EventPath(directory)) {
  std::string kept;
  for (const Event& event : ReadEvents(path_)) {
    if (event.step() <= last_step) kept += FrameRecord(event.SerializeAsString());
  }
  if (kept.empty()) {
    Event version;
    version.set_wall_time(WallTime());
    version.set_file_version("brain.Event:2");
    kept = FrameRecord(version.SerializeAsString());
  }
  OutputFile whole(path_);
  whole.Append(kept.data(), std::ssize(kept));
  whole.Commit();
  file_.open(path_, std::ios::binary | std::ios::app);
  if (!file_) throw UserError(Sentence(path_, " cannot be written: ", std::strerror(errno)));
}

void EventWriter::AddScalar(const std::string& tag, double value) {
  auto* added = pending_.add_value();
  added->set_tag(tag);
  added->set_simple_value(static_cast<float>(value));
}

void EventWriter::AddHistogram(const std::string& tag, const std::vector<double>& values) {
  if (values.empty()) return;
  constexpr int kBuckets = 30;
  const auto [min, max] = std::minmax_element(values.begin(), values.end());
  const double width = *max > *min ? (*max - *min) / kBuckets : 1;
  auto* added = pending_.add_value();
  added->set_tag(tag);
  Histogram& histogram = *added->mutable_histo();
  histogram.set_min(*min);
  histogram.set_max(*max);
  histogram.set_num(static_cast<double>(values.size()));
  std::array<double, kBuckets> count{};
  double sum = 0, squares = 0;
  for (double value : values) {
    sum += value;
    squares += value * value;
    count[std::min(kBuckets - 1, static_cast<int>((value - *min) / width))] += 1;
  }
  histogram.set_sum(sum);
  histogram.set_sum_squares(squares);
  for (int i = 0; i < kBuckets; ++i) {
    histogram.add_bucket_limit(*min + (i + 1) * width);
    histogram.add_bucket(count[i]);
  }
}

void EventWriter::Write(int64_t step) {
  if (pending_.value_size() == 0) return;
  Event event;
  event.set_wall_time(WallTime());
  event.set_step(step);
  event.mutable_summary()->Swap(&pending_);
  pending_.Clear();
  file_ << FrameRecord(event.SerializeAsString()) << std::flush;
  if (!file_) throw UserError(Sentence(path_, " cannot be written: ", std::strerror(errno)));
}

}  // namespace treeformer
