// The values of a model file's metadata, checked. Throws std::invalid_argument with the key at
// fault.
#pragma once

#include <cmath>
#include <cstdint>
#include <cstdio>
#include <limits>
#include <stdexcept>
#include <string>
#include <utility>
#include <vector>

#include "model/json.h"

namespace slidecell {

[[noreturn]] inline void refuse(const std::string& text) { throw std::invalid_argument(text); }

inline std::string short_text(double value) {
  char text[32];
  std::snprintf(text, sizeof text, "%g", value);
  return text;
}

// The value of a key that a file may lack: null where it does.
inline const Json& optional(const Json& object, const char* key) {
  static const Json null;
  const Json* value = object.find(key);
  return value ? *value : null;
}

template <class Enum>
Enum choose(const Json& object, const char* key,
            const std::vector<std::pair<const char*, Enum>>& choices) {
  const std::string& value = object.at(key).as_string(key);
  std::string names;
  for (const auto& [name, choice] : choices) {
    if (value == name) return choice;
    names += (names.empty() ? "" : ", ") + std::string(name);
  }
  refuse(std::string("metadata: '") + key + "': expected one of " + names + ", got '" + value +
         "'");
}

inline std::int64_t integer(const Json& object, const char* key, std::int64_t least,
                            std::int64_t most) {
  const std::int64_t value = object.at(key).as_int(key);
  if (value < least || value > most) {
    refuse(std::string("metadata: '") + key + "': expected " + std::to_string(least) + " to " +
           std::to_string(most) + ", got " + std::to_string(value));
  }
  return value;
}

inline std::vector<double> read_numbers(const Json& json, const char* key, std::int64_t expected) {
  std::vector<double> values;
  for (const Json& value : json.at(key).as_array(key)) values.push_back(value.as_double(key));
  if (static_cast<std::int64_t>(values.size()) != expected) {
    refuse(std::string("metadata: '") + key + "': expected " + std::to_string(expected) +
           " numbers, got " + std::to_string(values.size()));
  }
  return values;
}

// A number that is computed with as float32. What float32 does not hold is refused: its products
// with 0 are NaN.
inline float as_float(double value, const char* key) {
  constexpr double kLargest = std::numeric_limits<float>::max();
  if (!(std::abs(value) <= kLargest)) {
    refuse(std::string("metadata: '") + key + "': expected numbers that float32 holds, got " +
           short_text(value));
  }
  return static_cast<float>(value);
}

}  // namespace slidecell
