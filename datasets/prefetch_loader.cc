#include "datasets/prefetch_loader.h"

#include <glog/logging.h>

#include <utility>

namespace treeformer::datasets {

PrefetchLoader::PrefetchLoader(std::unique_ptr<Loader> loader, int micro_batches)
    : loader_(std::move(loader)), micro_batches_(micro_batches), worker_([this] { Work(); }) {
  CHECK_GE(micro_batches, 1);
}

PrefetchLoader::~PrefetchLoader() {
  {
    std::lock_guard lock(mutex_);
    stop_ = true;
  }
  changed_.notify_all();
  worker_.join();
}

PrefetchLoader::Step PrefetchLoader::Make() {
  Step step{.state = loader_->state(), .batches = {}, .error = nullptr};
  try {
    for (int micro = 0; micro < micro_batches_; ++micro) {
      step.batches.push_back(loader_->Get(micro));
    }
    loader_->NextStep();
  } catch (...) {
    step.error = std::current_exception();
  }
  return step;
}

void PrefetchLoader::Work() {
  std::unique_lock lock(mutex_);
  while (true) {
    changed_.wait(lock, [this] { return wanted_ || stop_; });
    if (stop_) return;
    lock.unlock();
    Step step = Make();
    lock.lock();
    ready_ = std::move(step);
    wanted_ = false;
    changed_.notify_all();
  }
}

const PrefetchLoader::Step& PrefetchLoader::Current() const {
  if (!current_) {
    std::unique_lock lock(mutex_);
    changed_.wait(lock, [this] { return !wanted_; });
    current_ = std::move(ready_);
    wanted_ = true;
    changed_.notify_all();
  }
  return *current_;
}

Batch PrefetchLoader::Get(int micro) {
  const Step& step = Current();
  if (step.error) std::rethrow_exception(step.error);
  CHECK(0 <= micro && micro < micro_batches_) << micro;
  return step.batches[micro];
}

void PrefetchLoader::NextStep() {
  Current();
  current_.reset();
}

LoaderState PrefetchLoader::state() const { return Current().state; }

void PrefetchLoader::Restore(const LoaderState& state) {
  Current();
  std::unique_lock lock(mutex_);
  changed_.wait(lock, [this] { return !wanted_; });
  loader_->Restore(state);
  current_.reset();
  wanted_ = true;
  changed_.notify_all();
}

}  // namespace treeformer::datasets
