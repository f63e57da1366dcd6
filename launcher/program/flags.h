#pragma once

// The process flags in gflags' registry.  Which command takes which is said in each Command; what
// belongs to the experiment is in launcher/run/run.proto instead.

#include <gflags/gflags_declare.h>

namespace treeformer {

DECLARE_string(config);
DECLARE_string(set);
DECLARE_string(run_dir);
DECLARE_string(text);
DECLARE_string(checkpoint);
DECLARE_string(data);
DECLARE_bool(resume);
DECLARE_string(stages);
DECLARE_bool(verify_data);
DECLARE_int32(threads);
DECLARE_string(device);
DECLARE_bool(cuda_graphs);
DECLARE_int32(ranks);
DECLARE_double(density);
DECLARE_string(suite);
DECLARE_int64(steps);
DECLARE_string(task);
DECLARE_string(rows);
DECLARE_string(lengths);
DECLARE_string(json);
DECLARE_string(dtype);

DECLARE_string(vocabulary);
DECLARE_int32(size);
DECLARE_int64(alphabet);
DECLARE_string(output);
DECLARE_string(held_out);
DECLARE_double(held_out_fraction);
DECLARE_string(document);
DECLARE_string(json_field);
DECLARE_bool(lower_case);
DECLARE_bool(replace_invalid_utf8);
DECLARE_bool(skip_bad_documents);
DECLARE_int32(zstd_window_log);

}  // namespace treeformer
