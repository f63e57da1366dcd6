#pragma once

// OrderedPipeline: read -> work -> write, with one reading thread, `threads` working
// threads and the calling thread as the writer.  What is written comes in the order
// it was read, whatever the number of threads, and at most 2 * threads + 2 items are
// under way.  The first exception of any of them stops all and is thrown on; a thread that cannot
// be had is a UserError.

#include <algorithm>
#include <condition_variable>
#include <cstdint>
#include <deque>
#include <exception>
#include <functional>
#include <mutex>
#include <optional>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "kernels/base/usable_cores.h"
#include "kernels/base/user_error.h"

namespace treeformer::datasets {

// Working threads for `threads` asked for, where 0 is one a usable core.  Each takes about 4 MB
// when blocks of text are what is read, and one reading thread keeps a few dozen busy at most.
inline int WorkingThreads(int threads) {
  constexpr int kMaxThreads = 256;
  if (threads < 0 || threads > kMaxThreads) {
    throw UserError(Sentence("threads is ", threads, ", expected 0 to ", kMaxThreads));
  }
  return threads > 0 ? threads : std::min(UsableCores(), kMaxThreads);
}

template <typename In, typename Out>
class OrderedPipeline {
 public:
  using Read = std::function<bool(In*)>;  // false at the end
  using Work = std::function<Out(int thread, const In&)>;
  using Write = std::function<void(const Out&)>;

  explicit OrderedPipeline(int threads) : threads_(threads), done_(2 * threads + 2) {}

  void Run(const Read& read, const Work& work, const Write& write) {
    std::vector<std::thread> threads;
    Guard([&] {
      Start(&threads, [&] { Guard([&] { ReadAll(read); }); });
      for (int i = 0; i < threads_; ++i) {
        Start(&threads, [&, i] { Guard([&] { WorkAll(i, work); }); });
      }
      WriteAll(write);
    });
    for (std::thread& thread : threads) thread.join();
    if (error_) std::rethrow_exception(error_);
  }

 private:
  template <typename Body>
  void Start(std::vector<std::thread>* threads, Body body) {
    try {
      threads->emplace_back(std::move(body));
    } catch (const std::system_error& error) {
      throw UserError(Sentence("thread ", threads->size() + 1, " of ", threads_ + 1,
                               " cannot be started: ", error.code().message(),
                               "; expected fewer threads"));
    }
  }

  void Guard(const std::function<void()>& body) {
    try {
      body();
    } catch (...) {
      const std::lock_guard lock(mutex_);
      if (!error_) error_ = std::current_exception();
      changed_.notify_all();
    }
  }

  void ReadAll(const Read& read) {
    for (;;) {
      In in;
      const bool more = read(&in);
      std::unique_lock lock(mutex_);
      changed_.wait(lock, [&] {
        return error_ || items_read_ - items_written_ < static_cast<int64_t>(done_.size());
      });
      if (more) waiting_.emplace_back(items_read_++, std::move(in));
      if (!more) at_end_ = true;
      changed_.notify_all();
      if (!more || error_) return;
    }
  }

  void WorkAll(int thread, const Work& work) {
    std::unique_lock lock(mutex_);
    for (;;) {
      changed_.wait(lock, [&] { return error_ || at_end_ || !waiting_.empty(); });
      if (error_ || waiting_.empty()) return;
      const auto [place, in] = std::move(waiting_.front());
      waiting_.pop_front();
      lock.unlock();
      Out out = work(thread, in);
      lock.lock();
      done_[place % done_.size()] = std::move(out);
      changed_.notify_all();
    }
  }

  void WriteAll(const Write& write) {
    std::unique_lock lock(mutex_);
    for (;;) {
      std::optional<Out>& next = done_[items_written_ % done_.size()];
      changed_.wait(lock, [&] {
        return error_ || next.has_value() || (at_end_ && items_written_ == items_read_);
      });
      if (error_ || !next) return;
      const Out out = std::move(*next);
      next.reset();
      lock.unlock();
      write(out);
      lock.lock();
      ++items_written_;
      changed_.notify_all();
    }
  }

  const int threads_;
  std::mutex mutex_;  // guards all below
  std::condition_variable changed_;
  std::deque<std::pair<int64_t, In>> waiting_;
  std::vector<std::optional<Out>> done_;  // item i in slot i mod size
  int64_t items_read_ = 0, items_written_ = 0;
  bool at_end_ = false;
  std::exception_ptr error_;
};

}  // namespace treeformer::datasets
