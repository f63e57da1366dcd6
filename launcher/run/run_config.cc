#include "launcher/run/run_config.h"

#include <glog/logging.h>
#include <google/protobuf/io/tokenizer.h>
#include <google/protobuf/text_format.h>
#include <google/protobuf/util/message_differencer.h>

#include <algorithm>
#include <cctype>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <memory>

#include "dist/gpu_choice.h"
#include "kernels/base/user_error.h"
#include "launcher/report/nearest.h"

namespace treeformer {

namespace pb = google::protobuf;
using config::RunConfig;

namespace {

struct ParseError {
  int line = 0, column = 0;  // from 1
  std::string message;       // empty: there was none
};

class FirstError : public pb::io::ErrorCollector {
 public:
  void AddError(int line, int column, const std::string& message) override {
    if (error_.message.empty()) error_ = {line + 1, column + 1, message};
  }
  const ParseError& error() const { return error_; }

 private:
  ParseError error_;
};

// Overwrites the message; a field that stands twice is an error.
ParseError Parse(const std::string& text, pb::Message& message) {
  FirstError first;
  pb::TextFormat::Parser parser;
  parser.RecordErrorsTo(&first);
  const bool parsed = parser.ParseFromString(text, &message);
  CHECK_EQ(parsed, first.error().message.empty()) << first.error().message;
  return first.error();
}

std::vector<std::string> Split(const std::string& text, const std::string& separators) {
  std::vector<std::string> parts(1);
  for (char c : text) {
    if (separators.find(c) != std::string::npos) {
      parts.emplace_back();
    } else {
      parts.back() += c;
    }
  }
  return parts;
}

bool IsAssignment(const std::string& text) {
  const size_t equals = text.find('=');
  if (equals == std::string::npos || equals == 0) return false;
  for (char c : text.substr(0, equals)) {
    if (!std::isalnum(static_cast<unsigned char>(c)) && c != '_' && c != '.') return false;
  }
  return true;
}

// `a.b=1,c=2,3` -> {a.b=1} {c=2,3}
std::vector<std::string> SplitAssignments(const std::string& text) {
  std::vector<std::string> assignments;
  for (const std::string& line : Split(text, "\n")) {
    bool first = true;
    for (const std::string& part : Split(line, ",")) {
      if (part.empty() && first) continue;
      if (first || IsAssignment(part)) {
        assignments.push_back(part);
      } else {
        assignments.back() += "," + part;
      }
      first = false;
    }
  }
  return assignments;
}

[[noreturn]] void RefuseField(const std::string& path, const std::string& name,
                              const pb::Descriptor& message) {
  std::vector<std::string> fields;
  for (int i = 0; i < message.field_count(); ++i) fields.push_back(message.field(i)->name());
  throw UserError(Sentence("--set=", path, ": ", message.name(), " has no field '", name, "'",
                           DidYouMean(name, fields)));
}

std::string Literal(const pb::FieldDescriptor& field, const std::string& value) {
  if (field.cpp_type() != pb::FieldDescriptor::CPPTYPE_STRING) return value;
  std::string literal = "\"";
  for (char c : value) literal += (c == '"' || c == '\\' ? std::string("\\") : "") + c;
  return literal + "\"";
}

void Assign(const std::string& assignment, RunConfig& config) {
  if (!IsAssignment(assignment)) {
    throw UserError(Sentence("--set=", assignment,
                             ": expected field.path=value, for example "
                             "--set=model.layers=6"));
  }
  const std::string path = assignment.substr(0, assignment.find('='));
  const std::string value = assignment.substr(path.size() + 1);
  pb::Message* message = &config;
  const pb::FieldDescriptor* field = nullptr;
  const std::vector<std::string> names = Split(path, ".");
  for (size_t i = 0; i < names.size(); ++i) {
    field = message->GetDescriptor()->FindFieldByName(names[i]);
    if (field == nullptr) RefuseField(path, names[i], *message->GetDescriptor());
    if (i + 1 == names.size()) break;
    if (field->cpp_type() != pb::FieldDescriptor::CPPTYPE_MESSAGE || field->is_repeated()) {
      throw UserError(Sentence("--set=", path, ": ", names[i], " has no fields of its own"));
    }
    message = message->GetReflection()->MutableMessage(message, field);
  }
  const bool is_message = field->cpp_type() == pb::FieldDescriptor::CPPTYPE_MESSAGE;
  const bool is_string = field->cpp_type() == pb::FieldDescriptor::CPPTYPE_STRING;
  message->GetReflection()->ClearField(message, field);
  if (value.empty() && (is_message || is_string || field->is_repeated())) return;
  if (is_message) {
    throw UserError(Sentence("--set=", path,
                             ": is a group of fields; set one of them, for example ", path, ".",
                             field->message_type()->field(0)->name(), "=..."));
  }
  for (const std::string& element :
       field->is_repeated() ? Split(value, ",") : std::vector<std::string>{value}) {
    const std::unique_ptr<pb::Message> one(message->New());
    const ParseError error = Parse(field->name() + ": " + Literal(*field, element), *one);
    std::vector<const pb::FieldDescriptor*> set;
    one->GetReflection()->ListFields(*one, &set);
    if (!error.message.empty() || set.size() != 1) {
      throw UserError(Sentence("--set=", path, "=", value, ": '", element, "' is not a value of ",
                               path, " (", field->type_name(), ")"));
    }
    message->MergeFrom(*one);
  }
}

// A sentence for a line of MessageDifferencer: "modified: model.layers: 4 -> 6", or "added: " or
// "deleted: " and a field.
std::string DescribeDifference(const std::string& line) {
  const size_t path = line.find(": ") + 2;
  const size_t value = line.find(": ", path);
  const std::string field = line.substr(path, value - path);
  const std::string values = line.substr(value + 2);
  const size_t arrow = values.find(" -> ");
  if (line.starts_with("added")) return field + " is " + values + " and was not given before";
  if (line.starts_with("deleted")) return field + " was " + values + " and is not given now";
  return field + " was " + values.substr(0, arrow) + " and is " + values.substr(arrow + 4);
}

template <typename T>
void Require(bool good, const char* field, const T& value, const std::string& allowed) {
  RequireField(good, std::string("training.") + field, value, allowed);
}

}  // namespace

RunConfig ParseRunConfig(const std::string& text, const std::string& name) {
  RunConfig config;
  const ParseError error = Parse(text, config);
  if (!error.message.empty()) {
    throw UserError(Sentence(name, ":", error.line, ":", error.column, ": ", error.message));
  }
  return config;
}

RunConfig ReadRunConfig(const std::string& path) {
  std::ifstream file(path);
  if (!file || std::filesystem::is_directory(path)) {
    throw UserError(Sentence("--config=", path, " cannot be read"));
  }
  return ParseRunConfig({std::istreambuf_iterator<char>(file), {}}, path);
}

void ApplyOverrides(const std::string& assignments, RunConfig& config) {
  for (const std::string& assignment : SplitAssignments(assignments)) Assign(assignment, config);
}

void ValidateTraining(const RunConfig& config, int ranks) {
  const config::Training& training = config.training();
  Require(training.micro_batches() >= 1, "micro_batches", training.micro_batches(), "1 or more");
  const int64_t parts = int64_t{ranks} * training.micro_batches();
  constexpr int64_t kMaxBatch = 1 << 24;
  const int64_t batch = training.batch_size();
  Require(batch >= 1 && batch <= kMaxBatch && batch % parts == 0, "batch_size", batch,
          Sentence("multiples of ", parts, " (", ranks, " ranks x ", training.micro_batches(),
                   " micro_batches) to ", kMaxBatch));
  Require(training.log_every() >= 1, "log_every", training.log_every(), "1 or more steps");
  Require(training.evaluate_every() >= 0, "evaluate_every", training.evaluate_every(),
          "0 or more steps");
  Require(training.evaluate_sequences() >= 0, "evaluate_sequences", training.evaluate_sequences(),
          "0 or more");
  Require(training.checkpoint_every() >= 0, "checkpoint_every", training.checkpoint_every(),
          "0 or more steps");
  Require(training.keep_checkpoints() >= 1, "keep_checkpoints", training.keep_checkpoints(),
          "1 or more");
  Require(training.histogram_every() >= 0, "histogram_every", training.histogram_every(),
          "0 or more steps");
  Require(!training.controls() || config.bootstrap().tree_steps() > 0, "controls", "true",
          "only with trees, bootstrap.tree_steps above 0");
  Require(!training.controls() || config.optimizer().schedule_scope() == config::Optimizer::RUN,
          "controls", "true",
          "only with optimizer.schedule_scope RUN: full attention has no other stages in which the "
          "rate would restart");
  Require(training.bucket_bytes() >= 4, "bucket_bytes", training.bucket_bytes(), "4 or more bytes");
}

Context MakeContext(dist::Communicator& communicator, Device device,
                    const config::Training& training) {
  if (device == Device::kCuda) return Context::Cuda(dist::ChooseGpu(communicator));
  const bool bfloat16 = training.matmul_precision() == config::Training::BFLOAT16;
  return Context::Cpu(bfloat16 ? MatmulPrecision::kBFloat16 : MatmulPrecision::kFloat32);
}

DType ActivationDType(Device device) {
  return device == Device::kCpu ? DType::kFloat32 : DType::kBFloat16;
}

std::string Difference(const RunConfig& before, const RunConfig& now) {
  using pb::util::MessageDifferencer;
  MessageDifferencer differencer;
  differencer.set_message_field_comparison(MessageDifferencer::EQUIVALENT);
  const pb::Descriptor& training = *config::Training::descriptor();
  for (const char* name :
       {"micro_batches", "log_every", "evaluate_every", "evaluate_sequences", "checkpoint_every",
        "keep_checkpoints", "histogram_every", "bucket_bytes", "controls"}) {
    differencer.IgnoreField(training.FindFieldByName(name));
  }
  const pb::Descriptor& bootstrap = *config::Bootstrap::descriptor();
  for (const char* name : {"full_steps", "tree_steps", "final_steps"}) {
    differencer.IgnoreField(bootstrap.FindFieldByName(name));
  }
  std::string differences;
  differencer.ReportDifferencesToString(&differences);
  if (differencer.Compare(before, now)) return "";
  const std::vector<std::string> lines = Split(differences, "\n");
  return DescribeDifference(*std::find_if(lines.begin(), lines.end(), [](const std::string& line) {
    return !line.starts_with("ignored");
  }));
}

std::string PrintRunConfig(const RunConfig& config) {
  std::string text;
  pb::TextFormat::PrintToString(config, &text);
  return text;
}

}  // namespace treeformer
