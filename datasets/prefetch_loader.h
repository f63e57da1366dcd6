#pragma once

// PrefetchLoader: a Loader whose next step is made by a background thread while the current one is
// in use.  state() is that of the step in use.  What the thread throws is thrown by the next Get.

#include <condition_variable>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>
#include <vector>

#include "datasets/loader.h"

namespace treeformer::datasets {

class PrefetchLoader : public Loader {
 public:
  PrefetchLoader(std::unique_ptr<Loader> loader, int micro_batches);
  ~PrefetchLoader() override;

  Batch Get(int micro) override;
  void NextStep() override;
  LoaderState state() const override;
  void Restore(const LoaderState& state) override;

 private:
  struct Step {
    LoaderState state;           // before it
    std::vector<Batch> batches;  // [micro_batches]
    std::exception_ptr error;
  };
  Step Make();
  void Work();
  // Takes what the worker made, waiting for it, and gives it the next job.
  const Step& Current() const;

  const std::unique_ptr<Loader> loader_;  // the worker's while wanted_, else ours
  const int micro_batches_;
  // state() too may have to wait for the worker, so it changes these.
  mutable std::optional<Step> current_;
  mutable std::mutex mutex_;
  mutable std::condition_variable changed_;
  mutable bool wanted_ = true;  // a job for the worker
  mutable Step ready_;          // made, not in use yet
  bool stop_ = false;
  std::thread worker_;  // last: it uses all of the above
};

}  // namespace treeformer::datasets
