#include "launcher/bench/timing/timing_suite.h"

#include <omp.h>

#include <nlohmann/json.hpp>

#include "kernels/base/output_file.h"
#include "kernels/base/user_error.h"
#include "kernels/matmul/sbgemm.h"

namespace treeformer::bench {

Context MakeContext(const TimingOptions& options) {
  if (options.device == Device::kCuda) return Context::Cuda(/*index=*/0);
  return Context::Cpu(options.precision);
}

std::string DescribeRun(const TimingOptions& options) {
  if (options.device == Device::kCuda) return "bfloat16 on a GPU";
  const bool bfloat16 = options.precision == MatmulPrecision::kBFloat16;
  return Sentence(bfloat16 ? "products of bfloat16" : "float32",
                  bfloat16 && !cpu::MultipliesBFloat16() ? " (imitated: no AVX512-BF16)" : "", ", ",
                  omp_get_max_threads(), " threads");
}

JsonLines::JsonLines(const TimingOptions& options)
    : device_(options.device == Device::kCuda ? "cuda" : "cpu"),
      dtype_(options.device == Device::kCuda || options.precision == MatmulPrecision::kBFloat16
                 ? "bfloat16"
                 : "float32"),
      path_(options.json) {
  if (!path_.empty()) OutputFile writable(path_);  // before the work, not after it
}

void JsonLines::Write(nlohmann::json row) {
  if (path_.empty()) return;
  row["device"] = device_;
  row["dtype"] = dtype_;
  row["threads"] = omp_get_max_threads();
  rows_ += row.dump() + "\n";
  OutputFile file(path_);
  file.Append(rows_.data(), std::ssize(rows_));
  file.Commit();
}

}  // namespace treeformer::bench
