#include "datasets/json_field.h"

#include <algorithm>
#include <vector>

#include "datasets/utf8.h"
#include "kernels/base/user_error.h"

namespace treeformer::datasets {
namespace {

bool IsDigit(char c) { return c >= '0' && c <= '9'; }

bool IsHighSurrogate(char32_t unit) { return unit >= 0xD800 && unit < 0xDC00; }
bool IsLowSurrogate(char32_t unit) { return unit >= 0xDC00 && unit < 0xE000; }

// The value of four hexadecimal digits, or -1.
int32_t ReadHex(std::string_view text) {
  if (text.size() < 4) return -1;
  int32_t value = 0;
  for (const char c : text.substr(0, 4)) {
    const char lower = c | 0x20;
    const int digit = IsDigit(c) ? c - '0' : (lower >= 'a' && lower <= 'f' ? lower - 'a' + 10 : -1);
    if (digit < 0) return -1;
    value = value * 16 + digit;
  }
  return value;
}

// An escape at the begin of a text: a code point, or a surrogate that has no other half.
struct Escape {
  size_t bytes;  // 0: none that JSON knows
  char32_t code_point = 0;
  bool lone_surrogate = false;
};

Escape ReadEscape(std::string_view text) {
  constexpr std::string_view kNames = "\"\\/bfnrt", kValues = "\"\\/\b\f\n\r\t";
  if (text.size() < 2) return {0};
  const size_t name = kNames.find(text[1]);
  if (name != std::string_view::npos) return {2, static_cast<char32_t>(kValues[name])};
  const int32_t unit = text[1] == 'u' ? ReadHex(text.substr(2)) : -1;
  if (unit < 0) return {0};
  if (IsLowSurrogate(unit)) return {6, kReplacementCharacter, true};
  if (!IsHighSurrogate(unit)) return {6, static_cast<char32_t>(unit)};
  const bool pair = text.substr(6).starts_with("\\u");
  const int32_t low = pair ? ReadHex(text.substr(8)) : -1;
  if (low < 0 || !IsLowSurrogate(low)) return {6, kReplacementCharacter, true};
  return {12, 0x10000 + ((static_cast<char32_t>(unit) - 0xD800) << 10) + (low - 0xDC00)};
}

class Scanner {
 public:
  Scanner(std::string_view text, const std::string& where) : text_(text), where_(where) {}

  size_t at() const { return at_; }
  bool AtEnd() const { return at_ == text_.size(); }
  char Peek() const { return AtEnd() ? '\0' : text_[at_]; }

  void SkipSpaces() {
    while (!AtEnd() && std::string_view(" \t\n\r").find(text_[at_]) != std::string_view::npos) {
      ++at_;
    }
  }
  bool Take(char c) {
    if (Peek() != c || AtEnd()) return false;
    ++at_;
    return true;
  }
  void Expect(char c) {
    if (!Take(c)) Fail(Sentence("'", c, "'"), at_);
  }

  JsonString String();
  JsonString Name();  // and the colon behind it
  void SkipValue();

  [[noreturn]] void Fail(const std::string& expected, size_t at) const {
    throw UserError(Sentence(where_, ": not JSON: expected ", expected, " at byte ", at + 1,
                             at < text_.size() ? "" : ", where the line ends"));
  }

 private:
  void SkipScalar();
  bool TakeWord(std::string_view word) {
    if (!text_.substr(at_).starts_with(word)) return false;
    at_ += word.size();
    return true;
  }
  void SkipDigits() {
    if (!IsDigit(Peek())) Fail("a digit", at_);
    while (IsDigit(Peek())) ++at_;
  }

  const std::string_view text_;
  const std::string& where_;
  size_t at_ = 0;
};

JsonString Scanner::String() {
  if (!Take('"')) Fail("a string", at_);
  const size_t begin = at_;
  JsonString string;
  for (;;) {
    while (!AtEnd() && text_[at_] != '"' && text_[at_] != '\\' &&
           static_cast<unsigned char>(text_[at_]) >= 0x20) {
      ++at_;
    }
    if (Take('"')) break;
    if (AtEnd()) Fail("the end of a string", at_);
    if (text_[at_] != '\\') Fail("a control character to be escaped", at_);
    const Escape escape = ReadEscape(text_.substr(at_));
    if (escape.bytes == 0) Fail("an escape that JSON knows", at_);
    if (escape.lone_surrogate && string.lone_surrogates++ == 0) {
      string.first_surrogate = text_.substr(at_, escape.bytes);
    }
    at_ += escape.bytes;
  }
  string.escaped = text_.substr(begin, at_ - 1 - begin);
  return string;
}

JsonString Scanner::Name() {
  SkipSpaces();
  const JsonString name = String();
  SkipSpaces();
  Expect(':');
  SkipSpaces();
  return name;
}

void Scanner::SkipScalar() {
  for (const char* word : {"true", "false", "null", "NaN", "Infinity", "-Infinity"}) {
    if (TakeWord(word)) return;
  }
  const size_t begin = at_;
  Take('-');
  if (!IsDigit(Peek())) Fail("a value", begin);
  if (!Take('0')) SkipDigits();
  if (Take('.')) SkipDigits();
  if (Take('e') || Take('E')) {
    if (!Take('+')) Take('-');
    SkipDigits();
  }
}

// Without recursion: a line may open as many brackets as it has bytes.
void Scanner::SkipValue() {
  std::string closers;  // of the brackets that are open
  const auto opens = [&](char open, char close) {
    if (!Take(open)) return false;
    SkipSpaces();
    if (Take(close)) return false;
    closers.push_back(close);
    if (close == '}') Name();
    return true;
  };
  do {
    SkipSpaces();
    const char c = Peek();
    if (c == '{' || c == '[') {
      if (opens(c, c == '{' ? '}' : ']')) continue;
    } else if (c == '"') {
      String();
    } else {
      SkipScalar();
    }
    while (!closers.empty()) {
      SkipSpaces();
      if (Take(',')) {
        if (closers.back() == '}') Name();
        break;
      }
      if (!Take(closers.back())) Fail(Sentence("',' or '", closers.back(), "'"), at_);
      closers.pop_back();
    }
  } while (!closers.empty());
}

bool IsField(const JsonString& name, const std::string& field) {
  if (name.escaped.find('\\') == std::string_view::npos) return name.escaped == field;
  std::string decoded;
  std::string_view rest = name.escaped;
  DecodeJson(&rest, rest.size(), &decoded);
  return decoded == field;
}

}  // namespace

JsonString FindJsonString(std::string_view json, const std::string& field,
                          const std::string& where) {
  enum { kAbsent, kString, kNull, kOther } found = kAbsent;
  JsonString result;
  Scanner scanner(json, where);
  scanner.SkipSpaces();
  if (!scanner.Take('{')) {
    throw UserError(Sentence(where, ": expected a JSON object with field '", field, "'"));
  }
  scanner.SkipSpaces();
  if (!scanner.Take('}')) {
    do {
      const bool is_field = IsField(scanner.Name(), field);
      const char begin = scanner.Peek();
      if (is_field) found = begin == '"' ? kString : (begin == 'n' ? kNull : kOther);
      if (is_field && found == kString) {
        result = scanner.String();
      } else {
        scanner.SkipValue();
      }
      scanner.SkipSpaces();
    } while (scanner.Take(','));
    if (!scanner.Take('}')) scanner.Fail("',' or '}'", scanner.at());
  }
  scanner.SkipSpaces();
  if (!scanner.AtEnd()) scanner.Fail("nothing behind the object", scanner.at());
  if (found == kString) return result;
  const char* const what = found == kAbsent ? ": the JSON object has no field '" : ": field '";
  const char* const instead =
      found == kAbsent ? "'" : (found == kNull ? "' is null, not a string" : "' is not a string");
  throw UserError(Sentence(where, what, field, instead));
}

void DecodeJson(std::string_view* escaped, size_t bytes, std::string* text) {
  const size_t enough = text->size() + bytes;
  while (text->size() < enough && !escaped->empty()) {
    if (escaped->front() == '\\') {
      const Escape escape = ReadEscape(*escaped);
      AppendUtf8(escape.code_point, text);
      escaped->remove_prefix(escape.bytes);
      continue;
    }
    const std::string_view portion = escaped->substr(0, enough - text->size());
    size_t end = std::min(portion.find('\\'), portion.size());
    while (end < escaped->size() && ((*escaped)[end] & 0xC0) == 0x80) ++end;  // whole characters
    text->append(escaped->substr(0, end));
    escaped->remove_prefix(end);
  }
}

}  // namespace treeformer::datasets
