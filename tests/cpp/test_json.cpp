// The JSON reader: what RFC 8259 allows is read, everything else is refused with its place.
#include "model/json.h"

#include <cmath>
#include <limits>
#include <stdexcept>
#include <string>

#include "test.h"

using slidecell::Json;
using Type = slidecell::Json::Type;

namespace {

void test_values() {
  CHECK(Json::parse("null").is_null());
  CHECK(Json::parse(" true ").as_bool("x"));
  CHECK(!Json::parse("false").as_bool("x"));
  CHECK(Json::parse("\t[1, 2.5,\n\"a\"]\r").as_array("x").size() == 3);
  CHECK(Json::parse("[]").as_array("x").empty());
  CHECK(Json::parse("{}").as_object("x").empty());

  const Json json = Json::parse(R"({"b": {"c": [null, {"d": -7}]}, "a": ""})");
  CHECK(json.as_object("x")[0].first == "b");  // the text's order
  CHECK(json.at("b").at("c").as_array("c")[1].at("d").as_int("d") == -7);
  CHECK(json.at("a").as_string("a").empty());
  CHECK(json.find("z") == nullptr);
  CHECK(Json::parse("[1]").find("z") == nullptr);
}

void test_numbers() {
  CHECK(Json::parse("9223372036854775807").as_int("x") == std::numeric_limits<std::int64_t>::max());
  CHECK(Json::parse("-9223372036854775808").as_int("x") ==
        std::numeric_limits<std::int64_t>::min());
  CHECK(Json::parse("9223372036854775808").as_double("x") == 9223372036854775808.0);
  CHECK(Json::parse("3").as_double("x") == 3.0);
  CHECK(Json::parse("0").as_int("x") == 0);
  CHECK(Json::parse("-0.5e+2").as_double("x") == -50.0);
  CHECK(Json::parse("1E-3").as_double("x") == 1e-3);
  CHECK(Json::parse("0.1").as_double("x") == 0.1);  // correctly rounded
  CHECK(Json::parse("2.2250738585072011e-308").as_double("x") == 2.2250738585072011e-308);
  for (const char* text : {"01", "1.", ".5", "+1", "-", "1e", "1e+", "0x10", "NaN", "Infinity",
                           "-Infinity", "1e400", "-1e400"}) {
    CHECK_THROWS(Json::parse(text), std::invalid_argument, "at byte");
  }
}

void test_strings() {
  CHECK(Json::parse(R"("\"\\\/\b\f\n\r\t")").as_string("x") == "\"\\/\b\f\n\r\t");
  CHECK(Json::parse(R"("\u00e9\u20AC\ud83d\ude00")").as_string("x") == "\u00e9\u20ac\U0001f600");
  CHECK(Json::parse("\"\u00e9\u20ac\U0001f600\"").as_string("x") == "\u00e9\u20ac\U0001f600");
  CHECK(Json::parse(R"("\u0000")").as_string("x") == std::string(1, '\0'));
  for (const char* text :
       {R"("abc)", R"("\x")", R"("\u12")", R"("\u12G4")", R"("\u+123")", R"("\ud83d")",
        R"("\ud83dx")", R"("\ud83d\u0041")", R"("\ude00")", "\"\n\"", "\"\\"}) {
    CHECK_THROWS(Json::parse(text), std::invalid_argument, "at byte");
  }
  // A stray continuation, overlong forms, a surrogate, beyond Unicode, cut short.
  for (const char* text :
       {"\"\x80\"", "\"\xc0\xaf\"", "\"\xe0\x80\xaf\"", "\"\xf0\x80\x80\xaf\"", "\"\xed\xa0\x80\"",
        "\"\xf4\x90\x80\x80\"", "\"\xff\"", "\"\xe2\x82", "\"\xc3\""}) {
    CHECK_THROWS(Json::parse(text), std::invalid_argument, "at byte");
  }
}

void test_places() {
  CHECK_THROWS(Json::parse(""), std::invalid_argument, "JSON: expected a value at byte 0");
  CHECK_THROWS(Json::parse(R"({"a": 1 "b": 2})"), std::invalid_argument,
               "JSON: expected ',' or '}' at byte 8");
  CHECK_THROWS(Json::parse("[1 2]"), std::invalid_argument, "expected ',' or ']' at byte 3");
  CHECK_THROWS(Json::parse("[1,]"), std::invalid_argument, "expected a value at byte 3");
  CHECK_THROWS(Json::parse("{\"a\" 1}"), std::invalid_argument, "expected ':' at byte 5");
  CHECK_THROWS(Json::parse("{a: 1}"), std::invalid_argument, "expected a key");
  CHECK_THROWS(Json::parse("{} x"), std::invalid_argument, "expected the end of the text");
  CHECK_THROWS(Json::parse(std::string("\0", 1)), std::invalid_argument, "expected a value");
  CHECK_THROWS(Json::parse("tru"), std::invalid_argument, "expected a value at byte 0");
  CHECK_THROWS(Json::parse(R"({"a": 1, "b": 2, "a": 3})"), std::invalid_argument,
               "duplicate key 'a' in the object at byte 0");
  CHECK_THROWS(Json::parse(R"({"a": 1, "\u0061": 3})"), std::invalid_argument, "duplicate key 'a'");
}

void test_depth() {
  const auto nested = [](int depth) {
    return std::string(static_cast<std::size_t>(depth), '[') +
           std::string(static_cast<std::size_t>(depth), ']');
  };
  CHECK(Json::parse(nested(Json::kMaxDepth)).type() == Type::array);
  CHECK_THROWS(Json::parse(nested(Json::kMaxDepth + 2)), std::invalid_argument, "nested");
  CHECK_THROWS(Json::parse(std::string(10'000'000, '[')), std::invalid_argument, "nested");
}

void test_expectations() {
  const Json json = Json::parse(R"({"window": "7", "real": 7.5})");
  CHECK_THROWS(json.at("horizon"), std::invalid_argument, "metadata: missing key 'horizon'");
  CHECK_THROWS(json.at("window").as_int("window"), std::invalid_argument,
               "metadata: 'window': expected an integer, got a string");
  CHECK_THROWS(json.at("real").as_int("real"), std::invalid_argument,
               "metadata: 'real': expected an integer, got a real number");
  CHECK_THROWS(json.as_double("x"), std::invalid_argument, "expected a number, got an object");
  CHECK_THROWS(json.as_bool("x"), std::invalid_argument, "expected true or false, got an object");
  CHECK_THROWS(json.as_array("x"), std::invalid_argument, "expected an array, got an object");
  CHECK_THROWS(json.at("real").as_object("x"), std::invalid_argument, "expected an object");
  CHECK_THROWS(Json().as_string("x"), std::invalid_argument, "expected a string, got null");
  CHECK(!json.at("real").integer());
}

}  // namespace

int main() {
  test_values();
  test_numbers();
  test_strings();
  test_places();
  test_depth();
  test_expectations();
  return slidecell::test::result();
}
