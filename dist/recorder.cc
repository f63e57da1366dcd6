#include "dist/recorder.h"

#include <algorithm>
#include <sstream>
#include <utility>

namespace treeformer::dist {

Recorder::Group& Recorder::AddGroup(const std::string& name) {
  const std::lock_guard lock(mutex_);
  return groups_.emplace_back(Group{name});
}

int64_t Recorder::Begin(Group& group, const CallSummary& call) {
  const std::lock_guard lock(mutex_);
  entries_[begun_ % kKept] = {&group, call, group.next++, layer_, State::kStarted};
  return begun_++;
}

void Recorder::Mark(int64_t place, State state) {
  const std::lock_guard lock(mutex_);
  if (place + kKept >= begun_) entries_[place % kKept].state = state;
}

std::string Recorder::Describe() const { return Lines(/*all=*/false); }
std::string Recorder::DescribeAll() const { return Lines(/*all=*/true); }

std::string Recorder::Lines(bool all) const {
  const std::lock_guard lock(mutex_);
  std::string lines;
  for (int64_t i = std::max<int64_t>(0, begun_ - kKept); i < begun_; ++i) {
    const Entry& entry = entries_[i % kKept];
    if (all || entry.state != State::kEnded || i + 1 == begun_) lines += Line(entry);
  }
  return lines;
}

std::string Recorder::Line(const Entry& entry) const {
  std::ostringstream line;
  line << "rank " << rank_ << ": " << entry.call;
  if (entry.call.count > 0) line << " (" << WithSeparators(entry.call.bytes()) << " bytes)";
  line << " in group " << entry.group->name << ", number " << entry.number;
  if (entry.layer >= 0) line << ", layer " << entry.layer;
  switch (entry.state) {
    case State::kStarted:
      line << ", started, not ended\n";
      break;
    case State::kAwaited:
      line << ", started, and its stream waits for it\n";
      break;
    case State::kEnded:
      line << ", ended\n";
      break;
  }
  return line.str();
}

int Recorder::SetLayer(int layer) {
  const std::lock_guard lock(mutex_);
  return std::exchange(layer_, layer);
}

Recorder::InLayer::InLayer(Recorder& recorder, int layer)
    : recorder_(recorder), before_(recorder.SetLayer(layer)) {}
Recorder::InLayer::~InLayer() { recorder_.SetLayer(before_); }

}  // namespace treeformer::dist
