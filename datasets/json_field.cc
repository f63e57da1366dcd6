#include "datasets/json_field.h"

#include <nlohmann/json.hpp>
#include <utility>

#include "kernels/user_error.h"

namespace datasets {
namespace {

using nlohmann::json;

// Keeps the string at depth 1 whose key is `field`.
class FieldHandler : public nlohmann::json_sax<json> {
 public:
  explicit FieldHandler(const std::string& field) : field_(field) {}

  bool null() override { return Other(); }
  bool boolean(bool) override { return Other(); }
  bool number_integer(number_integer_t) override { return Other(); }
  bool number_unsigned(number_unsigned_t) override { return Other(); }
  bool number_float(number_float_t, const string_t&) override { return Other(); }
  bool binary(binary_t&) override { return Other(); }
  bool string(string_t& value) override {
    if (!IsField()) return Other();
    text = std::move(value);
    kind = kFound;
    return true;
  }
  bool start_object(size_t) override { return Open(); }
  bool start_array(size_t) override { return Open() && depth_ > 1; }  // not outermost
  bool end_object() override { return Close(); }
  bool end_array() override { return Close(); }
  bool key(string_t& key) override {
    at_field_ = depth_ == 1 && key == field_;
    return true;
  }
  bool parse_error(size_t, const std::string&, const json::exception& exception) override {
    error = exception.what();
    return false;
  }

  enum Kind { kAbsent, kFound, kNotString } kind = kAbsent;
  std::string text, error;

 private:
  bool IsField() const { return depth_ == 1 && at_field_; }
  bool Other() {
    if (IsField()) kind = kNotString;
    return depth_ > 0;
  }
  bool Open() {
    if (IsField()) kind = kNotString;
    ++depth_;
    return true;
  }
  bool Close() {
    --depth_;
    return true;
  }

  const std::string& field_;
  int depth_ = 0;
  bool at_field_ = false;
};

}  // namespace

std::string JsonStringField(std::string_view text, const std::string& field,
                            const std::string& where) {
  FieldHandler handler(field);
  const bool parsed = json::sax_parse(text, &handler);
  if (!handler.error.empty()) {
    throw UserError(Sentence(where, ": not JSON: ", handler.error));
  }
  if (!parsed)
    throw UserError(Sentence(where, ": expected a JSON object with field '", field, "'"));
  if (handler.kind == FieldHandler::kAbsent) {
    throw UserError(Sentence(where, ": the JSON object has no field '", field, "'"));
  }
  if (handler.kind == FieldHandler::kNotString) {
    throw UserError(Sentence(where, ": field '", field, "' is not a string"));
  }
  return std::move(handler.text);
}

}  // namespace datasets
