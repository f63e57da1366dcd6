#include "launcher/bench/timing_suite.h"

#include <omp.h>

#include <nlohmann/json.hpp>

#include "kernels/sbgemm.h"
#include "kernels/user_error.h"

namespace bench {

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
                 : "float32") {
  if (options.json.empty()) return;
  file_.open(options.json);
  if (!file_) throw UserError(Sentence("--json: ", options.json, " cannot be written"));
}

void JsonLines::Write(nlohmann::json row) {
  if (!file_.is_open()) return;
  row["device"] = device_;
  row["dtype"] = dtype_;
  row["threads"] = omp_get_max_threads();
  file_ << row.dump() << std::endl;
}

}  // namespace bench
