// JSON values (RFC 8259), read defensively: a model file may come from anywhere.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <utility>
#include <variant>
#include <vector>

namespace slidecell {

// An immutable JSON value. Parsing refuses what RFC 8259 leaves to the reader's taste: duplicate
// keys, text that is not UTF-8, lone surrogates, numbers outside double, nesting beyond kMaxDepth.
class Json {
 public:
  enum class Type : std::uint8_t { null, boolean, number, string, array, object };
  using Array = std::vector<Json>;
  using Member = std::pair<std::string, Json>;
  using Object = std::vector<Member>;  // in the order of the text

  static constexpr int kMaxDepth = 64;

  // Throws std::invalid_argument: "JSON: expected ',' or '}' at byte 17".
  static Json parse(std::string_view text);

  Json() = default;  // null
  explicit Json(bool value) : value_(value) {}
  explicit Json(double value) : value_(value) {}
  explicit Json(std::int64_t value) : value_(value) {}
  explicit Json(std::string value) : value_(std::move(value)) {}
  explicit Json(Array value) : value_(std::move(value)) {}
  explicit Json(Object value) : value_(std::move(value)) {}

  Type type() const;
  bool is_null() const { return type() == Type::null; }

  // Null if the key is absent or this is not an object.
  const Json* find(std::string_view key) const;
  // Throws std::invalid_argument: "metadata: missing key 'window'".
  const Json& at(std::string_view key) const;

  // `what` names the value: "metadata: 'window': expected an integer, got a string".
  bool as_bool(std::string_view what) const;
  double as_double(std::string_view what) const;
  std::int64_t as_int(std::string_view what) const;  // written without fraction and exponent
  const std::string& as_string(std::string_view what) const;
  const Array& as_array(std::string_view what) const;
  const Object& as_object(std::string_view what) const;

  // The integer, string, ... that this is, or nothing: for callers with an error text of their own.
  std::optional<std::int64_t> integer() const;
  const std::string* string() const { return std::get_if<std::string>(&value_); }
  const Array* array() const { return std::get_if<Array>(&value_); }
  const Object* object() const { return std::get_if<Object>(&value_); }

 private:
  // Integers are kept apart from other numbers: byte offsets need all 64 bits.
  std::variant<std::monostate, bool, double, std::int64_t, std::string, Array, Object> value_;
};

}  // namespace slidecell
