#include "launcher/program/flag_values.h"

#include <omp.h>

#include <filesystem>

#include "dist/threads.h"
#include "kernels/base/user_error.h"
#include "launcher/program/flags.h"
#include "launcher/run/run_data.h"

namespace treeformer {

config::RunConfig ResolveRunConfig() {
  config::RunConfig config = ReadRunConfig(FindExperiment(FLAGS_config));
  ApplyOverrides(FLAGS_set, config);
  if (!FLAGS_text.empty()) SetText(FLAGS_text, *config.mutable_data());
  return config;
}

std::string RunDirectoryFromFlag() {
  if (!FLAGS_run_dir.empty()) return FLAGS_run_dir;
  return "runs/" + std::filesystem::path(FLAGS_config).stem().string();
}

int ConfigureThreadsFromFlag(dist::Communicator& communicator) {
  constexpr int kMaxThreads = 1024;  // OpenMP ends the program where it cannot have them
  if (FLAGS_threads < 0 || FLAGS_threads > kMaxThreads) {
    throw UserError(Sentence("--threads is ", FLAGS_threads, "; expected 0 to ", kMaxThreads));
  }
  const int share = dist::ConfigureThreads(communicator);
  if (FLAGS_threads > 0) omp_set_num_threads(FLAGS_threads);
  return FLAGS_threads > 0 ? FLAGS_threads : share;
}

DeviceChoice DeviceChoiceFromFlags() {
  const DeviceChoice choice{DeviceFromFlag(), FLAGS_cuda_graphs};
  if (choice.cuda_graphs && choice.device == Device::kCpu) {
    throw UserError("--cuda_graphs needs --device=cuda");
  }
  return choice;
}

Device DeviceFromFlag() {
  if (FLAGS_device == "cpu") return Device::kCpu;
  if (FLAGS_device == "cuda") return Device::kCuda;
  throw UserError(Sentence("--device is '", FLAGS_device, "'; expected cpu or cuda"));
}

MatmulPrecision MatmulPrecisionFromFlag() {
  if (FLAGS_dtype == "float32") return MatmulPrecision::kFloat32;
  if (FLAGS_dtype == "bfloat16") return MatmulPrecision::kBFloat16;
  throw UserError(Sentence("--dtype is '", FLAGS_dtype, "'; expected float32 or bfloat16"));
}

datasets::TextSourceOptions TextSourceFromFlags() {
  config::DatasetConfig config;
  SetText(FLAGS_text, config);
  if (FLAGS_document == "line") {
    config.set_document(config::DatasetConfig::LINE);
  } else if (FLAGS_document == "blank_line") {
    config.set_document(config::DatasetConfig::BLANK_LINE);
  } else if (FLAGS_document != "file") {
    throw UserError(
        Sentence("--document is '", FLAGS_document, "'; expected file, line or blank_line"));
  }
  config.set_json_field(FLAGS_json_field);
  config.set_replace_invalid_utf8(FLAGS_replace_invalid_utf8);
  config.set_skip_bad_documents(FLAGS_skip_bad_documents);
  config.set_zstd_window_log(FLAGS_zstd_window_log);
  return datasets::MakeTextSourceOptions(config);
}

void RequireFlag(const std::string& value, const char* flag, const char* expected) {
  if (value.empty()) throw UserError(Sentence("--", flag, " is missing; expected ", expected));
}

}  // namespace treeformer
