#include "launcher/bench/timing_suite.h"

#include <omp.h>

#include <nlohmann/json.hpp>

#include "kernels/user_error.h"

namespace bench {

JsonLines::JsonLines(const std::string& path) {
  if (path.empty()) return;
  file_.open(path);
  if (!file_) throw UserError(Sentence("--json: ", path, " cannot be written"));
}

void JsonLines::Write(nlohmann::json row) {
  if (!file_.is_open()) return;
  row["dtype"] = "float32";
  row["threads"] = omp_get_max_threads();
  file_ << row.dump() << std::endl;
}

}  // namespace bench
