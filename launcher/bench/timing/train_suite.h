#pragma once

// `treeformer bench --suite=train`: tokens a second of whole training steps of BERT-base (12
// layers, width 768, vocabulary 30,522; masked language model, forward, backward, AdamW)
// on random tokens, with full attention and with TF trees, as initialised, whose leaves hold 128
// tokens or so.  A step is of 4,096 tokens, on a GPU of 16,384; one sequence at least.  It is the
// trainer's (core/training/training_step.h), on a GPU given kernel by kernel and as CUDA graphs.

#include <ostream>

#include "launcher/bench/timing/timing_suite.h"

namespace treeformer::bench {

void RunTrainSuite(const TimingOptions& options, std::ostream& out);

}  // namespace treeformer::bench
