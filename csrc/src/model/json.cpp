#include "model/json.h"

#include <algorithm>
#include <array>
#include <charconv>
#include <stdexcept>
#include <system_error>

namespace slidecell {
namespace {

const char* describe(Json::Type type) {
  constexpr std::array<const char*, 6> names = {"null",     "a boolean", "a number",
                                                "a string", "an array",  "an object"};
  return names[static_cast<std::size_t>(type)];
}

[[noreturn]] void fail_type(std::string_view what, const char* expected, const char* got) {
  throw std::invalid_argument("metadata: '" + std::string(what) + "': expected " + expected +
                              ", got " + got);
}

// Recursive descent; the depth is bounded, so a hostile text cannot exhaust the stack.
class Parser {
 public:
  explicit Parser(std::string_view text) : text_(text) {}

  Json document() {
    Json value = element(0);
    skip_space();
    if (at_ < text_.size()) fail("expected the end of the text");
    return value;
  }

 private:
  [[noreturn]] void fail(const std::string& problem) const { fail(problem, at_); }
  [[noreturn]] static void fail(const std::string& problem, std::size_t at) {
    throw std::invalid_argument("JSON: " + problem + " at byte " + std::to_string(at));
  }

  // '\0' past the end: no rule accepts it, so every loop stops there.
  char peek() const { return at_ < text_.size() ? text_[at_] : '\0'; }
  bool accept(char c) {
    if (at_ >= text_.size() || text_[at_] != c) return false;
    ++at_;
    return true;
  }
  bool accept(std::string_view word) {
    if (text_.substr(at_, word.size()) != word) return false;
    at_ += word.size();
    return true;
  }
  void skip_space() {
    while (peek() == ' ' || peek() == '\n' || peek() == '\t' || peek() == '\r') ++at_;
  }
  static bool is_digit(char c) { return c >= '0' && c <= '9'; }

  Json element(int depth) {
    if (depth > Json::kMaxDepth) fail("nested too deeply");
    skip_space();
    switch (peek()) {
      case '{':
        return object(depth);
      case '[':
        return array(depth);
      case '"':
        return Json(string());
      case 't':
        if (accept("true")) return Json(true);
        break;
      case 'f':
        if (accept("false")) return Json(false);
        break;
      case 'n':
        if (accept("null")) return Json();
        break;
      default:
        if (peek() == '-' || is_digit(peek())) return number();
    }
    fail("expected a value");
  }

  Json array(int depth) {
    ++at_;  // [
    Json::Array values;
    skip_space();
    if (accept(']')) return Json(std::move(values));
    do {
      values.push_back(element(depth + 1));
      skip_space();
    } while (accept(','));
    if (!accept(']')) fail("expected ',' or ']'");
    return Json(std::move(values));
  }

  Json object(int depth) {
    const std::size_t begin = at_++;  // {
    Json::Object members;
    skip_space();
    if (accept('}')) return Json(std::move(members));
    do {
      skip_space();
      if (peek() != '"') fail("expected a key in double quotes");
      std::string key = string();
      skip_space();
      if (!accept(':')) fail("expected ':'");
      members.emplace_back(std::move(key), element(depth + 1));
      skip_space();
    } while (accept(','));
    if (!accept('}')) fail("expected ',' or '}'");
    refuse_duplicates(members, begin);
    return Json(std::move(members));
  }

  // Readers disagree on which of two equal keys counts: a file could show one model to a checker
  // and another to the scorer.
  static void refuse_duplicates(const Json::Object& members, std::size_t begin) {
    std::vector<std::string_view> keys;
    keys.reserve(members.size());
    for (const Json::Member& member : members) keys.push_back(member.first);
    std::sort(keys.begin(), keys.end());
    const auto twin = std::adjacent_find(keys.begin(), keys.end());
    if (twin != keys.end()) fail("duplicate key '" + std::string(*twin) + "' in the object", begin);
  }

  Json number() {
    const std::size_t begin = at_;
    accept('-');
    if (!accept('0')) digits();
    bool is_integer = true;
    if (accept('.')) {
      is_integer = false;
      digits();
    }
    if (accept('e') || accept('E')) {
      is_integer = false;
      if (!accept('+')) accept('-');
      digits();
    }
    const char* first = text_.data() + begin;
    const char* last = text_.data() + at_;
    if (is_integer) {
      std::int64_t integer = 0;
      if (std::from_chars(first, last, integer).ec == std::errc()) return Json(integer);
    }
    double real = 0;  // from_chars: the locale's decimal comma must not matter
    if (std::from_chars(first, last, real).ec != std::errc()) {
      fail("number outside the range of a double", begin);
    }
    return Json(real);
  }

  void digits() {
    if (!is_digit(peek())) fail("expected a digit");
    while (is_digit(peek())) ++at_;
  }

  std::string string() {
    const std::size_t begin = at_++;  // "
    std::string out;
    while (!accept('"')) {
      if (at_ >= text_.size()) fail("string without an end", begin);
      const auto c = static_cast<unsigned char>(text_[at_]);
      if (c == '\\') {
        escape(out);
      } else if (c < 0x20) {
        fail("control character in a string");
      } else if (c < 0x80) {
        out.push_back(text_[at_++]);
      } else {
        utf8_sequence(out);
      }
    }
    return out;
  }

  void escape(std::string& out) {
    const std::size_t begin = at_++;  // backslash
    const char c = peek();
    ++at_;
    switch (c) {
      case '"':
      case '\\':
      case '/':
        return out.push_back(c);
      case 'b':
        return out.push_back('\b');
      case 'f':
        return out.push_back('\f');
      case 'n':
        return out.push_back('\n');
      case 'r':
        return out.push_back('\r');
      case 't':
        return out.push_back('\t');
      case 'u':
        return append_utf8(out, escaped_code_point(begin));
      default:
        fail("unknown escape", begin);
    }
  }

  // The digits after \u, and the second half of a surrogate pair.
  std::uint32_t escaped_code_point(std::size_t begin) {
    const std::uint32_t unit = hex4(begin);
    if (unit < 0xd800 || unit > 0xdfff) return unit;
    if (unit > 0xdbff || !accept("\\u")) fail("lone surrogate", begin);
    const std::uint32_t low = hex4(begin);
    if (low < 0xdc00 || low > 0xdfff) fail("lone surrogate", begin);
    return 0x10000 + ((unit - 0xd800) << 10) + (low - 0xdc00);
  }

  std::uint32_t hex4(std::size_t begin) {
    std::uint32_t unit = 0;
    const std::string_view text = text_.substr(std::min(at_, text_.size()), 4);
    const auto end = text.data() + text.size();
    const auto result = std::from_chars(text.data(), end, unit, 16);
    if (text.size() < 4 || result.ec != std::errc() || result.ptr != end) {
      fail("expected four hexadecimal digits", begin);
    }
    at_ += 4;
    return unit;
  }

  static void append_utf8(std::string& out, std::uint32_t code) {
    const auto tail = [&](int shift) {
      out.push_back(static_cast<char>(0x80 | ((code >> shift) & 0x3f)));
    };
    if (code < 0x80) {
      out.push_back(static_cast<char>(code));
    } else if (code < 0x800) {
      out.push_back(static_cast<char>(0xc0 | (code >> 6)));
      tail(0);
    } else if (code < 0x10000) {
      out.push_back(static_cast<char>(0xe0 | (code >> 12)));
      tail(6);
      tail(0);
    } else {
      out.push_back(static_cast<char>(0xf0 | (code >> 18)));
      tail(12);
      tail(6);
      tail(0);
    }
  }

  // Copies one multi-byte sequence if it is the shortest form of a Unicode scalar value.
  void utf8_sequence(std::string& out) {
    const auto lead = static_cast<unsigned char>(text_[at_]);
    const int length = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
    if (lead < 0xc0 || lead > 0xf4 || text_.size() - at_ < static_cast<std::size_t>(length)) {
      fail("text that is not UTF-8");
    }
    std::uint32_t code = lead & (0xffu >> (length + 1));
    for (int i = 1; i < length; ++i) {
      const auto next = static_cast<unsigned char>(text_[at_ + static_cast<std::size_t>(i)]);
      if ((next & 0xc0) != 0x80) fail("text that is not UTF-8");
      code = (code << 6) | (next & 0x3fu);
    }
    constexpr std::array<std::uint32_t, 5> shortest = {0, 0, 0x80, 0x800, 0x10000};
    const bool surrogate = code >= 0xd800 && code <= 0xdfff;
    if (code < shortest[static_cast<std::size_t>(length)] || code > 0x10ffff || surrogate) {
      fail("text that is not UTF-8");
    }
    out.append(text_.substr(at_, static_cast<std::size_t>(length)));
    at_ += static_cast<std::size_t>(length);
  }

  std::string_view text_;
  std::size_t at_ = 0;
};

}  // namespace

Json Json::parse(std::string_view text) { return Parser(text).document(); }

Json::Type Json::type() const {
  constexpr std::array<Type, 7> types = {Type::null,   Type::boolean, Type::number, Type::number,
                                         Type::string, Type::array,   Type::object};
  return types[value_.index()];
}

const Json* Json::find(std::string_view key) const {
  const Object* members = object();
  if (members == nullptr) return nullptr;
  for (const auto& [name, value] : *members) {
    if (name == key) return &value;
  }
  return nullptr;
}

const Json& Json::at(std::string_view key) const {
  if (const Json* value = find(key)) return *value;
  throw std::invalid_argument("metadata: missing key '" + std::string(key) + "'");
}

std::optional<std::int64_t> Json::integer() const {
  const auto* value = std::get_if<std::int64_t>(&value_);
  return value != nullptr ? std::optional(*value) : std::nullopt;
}

bool Json::as_bool(std::string_view what) const {
  if (const auto* value = std::get_if<bool>(&value_)) return *value;
  fail_type(what, "true or false", describe(type()));
}

double Json::as_double(std::string_view what) const {
  if (const auto* value = std::get_if<double>(&value_)) return *value;
  if (const auto* value = std::get_if<std::int64_t>(&value_)) return static_cast<double>(*value);
  fail_type(what, "a number", describe(type()));
}

std::int64_t Json::as_int(std::string_view what) const {
  if (const auto value = integer()) return *value;
  fail_type(what, "an integer", type() == Type::number ? "a real number" : describe(type()));
}

const std::string& Json::as_string(std::string_view what) const {
  if (const std::string* value = string()) return *value;
  fail_type(what, "a string", describe(type()));
}

const Json::Array& Json::as_array(std::string_view what) const {
  if (const Array* value = array()) return *value;
  fail_type(what, "an array", describe(type()));
}

const Json::Object& Json::as_object(std::string_view what) const {
  if (const Object* value = object()) return *value;
  fail_type(what, "an object", describe(type()));
}

}  // namespace slidecell
