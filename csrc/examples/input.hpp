// What the examples share: numbers from lines of text and from the command line.
#pragma once

#include <charconv>
#include <cstdint>
#include <cstdio>
#include <exception>
#include <limits>
#include <stdexcept>
#include <string>
#include <string_view>
#include <system_error>
#include <vector>

namespace example {

// A bad line or file: the text says where.
class InputError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

// A bad command line.
class UsageError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

inline std::string_view trimmed(std::string_view text) {
  const auto first = text.find_first_not_of(" \t\r");
  if (first == std::string_view::npos) return {};
  return text.substr(first, text.find_last_not_of(" \t\r") - first + 1);
}

// Fields between commas.
inline std::vector<std::string_view> fields(std::string_view line) {
  std::vector<std::string_view> out;
  while (true) {
    const auto comma = line.find(',');
    out.push_back(trimmed(line.substr(0, comma)));
    if (comma == std::string_view::npos) return out;
    line.remove_prefix(comma + 1);
  }
}

// The whole text as a number; std::from_chars asks no locale what a decimal point is.
template <class Number>
bool parse_number(std::string_view text, Number& number) {
  const char* end = text.data() + text.size();
  const auto result = std::from_chars(text.data(), end, number);
  return result.ec == std::errc() && result.ptr == end;
}

// The values of `texts` [n] into out [n]. An empty field is a missing value: NaN.
inline void parse_row(const std::vector<std::string_view>& texts, std::size_t first,
                      std::size_t features, double* out) {
  if (texts.size() != first + features) {
    throw InputError("expected " + std::to_string(first + features) + " values, got " +
                     std::to_string(texts.size()));
  }
  for (std::size_t f = 0; f < features; ++f) {
    const std::string_view text = texts[first + f];
    if (text.empty()) {
      out[f] = std::numeric_limits<double>::quiet_NaN();
    } else if (!parse_number(text, out[f])) {
      throw InputError("value " + std::to_string(first + f + 1) + ": expected a number, got '" +
                       std::string(text) + "'");
    }
  }
}

// "--name value" pairs and flags behind the positional arguments.
class Arguments {
 public:
  Arguments(int argc, char** argv) : words_(argv + 1, argv + argc) {}

  std::string positional(const char* name) {
    if (next_ == words_.size() || words_[next_].rfind("--", 0) == 0) {
      throw UsageError(std::string(name) + ": missing");
    }
    return words_[next_++];
  }
  bool flag(const char* name) {
    if (next_ == words_.size() || words_[next_] != name) return false;
    ++next_;
    return true;
  }
  std::string text(const char* name) {
    if (next_ == words_.size()) throw UsageError(std::string(name) + ": expected a value");
    return words_[next_++];
  }
  std::int64_t number(const char* name, std::int64_t least, std::int64_t most) {
    const std::string word = text(name);
    std::int64_t value = 0;
    if (!parse_number(std::string_view(word), value) || value < least || value > most) {
      throw UsageError(std::string(name) + ": expected " + std::to_string(least) + " to " +
                       std::to_string(most) + ", got '" + word + "'");
    }
    return value;
  }
  bool done() const { return next_ == words_.size(); }
  [[noreturn]] void refuse() const { throw UsageError(words_[next_] + ": unknown option"); }

 private:
  std::vector<std::string> words_;
  std::size_t next_ = 0;
};

// The main function: run(arguments), a message instead of an exception, an exit status.
template <class Run>
int run_main(int argc, char** argv, const char* usage, Run run) {
  try {
    run(Arguments(argc, argv));
    return 0;
  } catch (const UsageError& e) {
    std::fprintf(stderr, "%s\nusage: %s %s\n", e.what(), argv[0], usage);
    return 2;
  } catch (const std::exception& e) {
    std::fprintf(stderr, "%s\n", e.what());
    return 1;
  }
}

}  // namespace example
