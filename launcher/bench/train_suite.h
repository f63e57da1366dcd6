#pragma once

// `treeformer bench --suite=train`: tokens a second of whole training steps of BERT-base (12
// layers, width 768, vocabulary 30,522; masked language model, forward, backward, AdamW, float32)
// on random tokens, with full attention and with TF trees, as initialised, whose leaves hold 128
// tokens or so.

#include <cstdint>
#include <ostream>
#include <string>
#include <vector>

namespace bench {

struct TrainSuiteOptions {
  std::vector<int64_t> lengths;  // tokens of a sequence; 4,096 tokens a step, one sequence at least
  std::string rows;              // only rows whose name has this in it; empty: all
  std::string json;              // a file for the rows as lines of JSON; empty: none
};

void RunTrainSuite(const TrainSuiteOptions& options, std::ostream& out);

}  // namespace bench
