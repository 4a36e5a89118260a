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

inline std::string_view unquoted(std::string_view text) {
  const bool quoted = text.size() > 1 && text.front() == '"' && text.back() == '"';
  return quoted ? text.substr(1, text.size() - 2) : text;
}

// The line without the mark of UTF-8 that some programs write before the first one.
inline std::string_view without_mark(std::string_view line) {
  constexpr std::string_view mark = "\xEF\xBB\xBF";
  if (line.substr(0, mark.size()) == mark) line.remove_prefix(mark.size());
  return line;
}

// Fields between commas; a comma within quotes is not provided for.
inline std::vector<std::string_view> fields(std::string_view line) {
  std::vector<std::string_view> out;
  while (true) {
    const auto comma = line.find(',');
    out.push_back(unquoted(trimmed(line.substr(0, comma))));
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

// Which fields of a line are the features, and how many it has.
struct Columns {
  std::vector<std::size_t> features;  // [F]
  std::size_t count = 0;
};

// F features in their order, behind `first` other fields.
inline Columns columns_in_order(std::size_t first, std::size_t F) {
  Columns columns;
  for (std::size_t f = 0; f < F; ++f) columns.features.push_back(first + f);
  columns.count = first + F;
  return columns;
}

// The field of that name in a header. Throws InputError.
inline std::size_t find_column(const std::vector<std::string_view>& header,
                               const std::string& name) {
  for (std::size_t i = 0; i < header.size(); ++i) {
    if (header[i] == name) return i;
  }
  throw InputError("expected a column '" + name + "'");
}

// The model's features by their names; other columns (times, entities, labels) are skipped.
inline Columns columns_by_name(const std::vector<std::string_view>& header,
                               const std::vector<std::string>& names) {
  Columns columns;
  for (const std::string& name : names) columns.features.push_back(find_column(header, name));
  columns.count = header.size();
  return columns;
}

// A line without any number is the names of the columns.
inline bool is_header(const std::vector<std::string_view>& texts) {
  double number = 0.0;
  for (const std::string_view text : texts) {
    if (text.empty() || parse_number(text, number)) return false;
  }
  return true;
}

// The features of a line into out [F]. An empty field is a missing value: NaN.
inline void parse_row(const std::vector<std::string_view>& texts, const Columns& columns,
                      double* out) {
  if (texts.size() != columns.count) {
    throw InputError("expected " + std::to_string(columns.count) + " values, got " +
                     std::to_string(texts.size()));
  }
  for (const std::size_t i : columns.features) {
    const std::string_view text = texts[i];
    if (text.empty()) {
      *out = std::numeric_limits<double>::quiet_NaN();
    } else if (!parse_number(text, *out)) {
      throw InputError("value " + std::to_string(i + 1) + ": expected a number, got '" +
                       std::string(text) + "'");
    }
    ++out;
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
  // The word behind a flag, if there is one.
  std::string optional_text() {
    if (next_ == words_.size() || words_[next_].rfind("--", 0) == 0) return {};
    return words_[next_++];
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
