// JSON texts: what is accepted has a text that means the same.
#include <cstdint>
#include <cstdlib>
#include <stdexcept>
#include <string>
#include <string_view>
#include <vector>

#include "counts.h"
#include "json_tree.h"
#include "libfuzzer.h"

namespace {

using namespace slidecell::fuzz;
using slidecell::Json;

const std::vector<std::string>& words() {
  static const std::vector<std::string> values = {
      "",   "a",    "window", "shape", "\xc3\xa9", "\xe2\x82\xac",      "\xf0\x9f\x98\x80",
      "\n", "\x7f", "\"\\/",  "null",  "0x10",     std::string("\0", 1)};
  return values;
}

// Asks a value and what it holds for everything; a wrong type is refused by one kind of exception.
// Exceptions are dear under the sanitizers: `questions` bounds them.
void ask(const Json& value, int& questions) {
  if (--questions < 0) return;
  const auto tolerate = [](auto question) {
    try {
      question();
    } catch (const std::invalid_argument&) {
    }
  };
  tolerate([&] { value.as_bool("a"); });
  tolerate([&] { value.as_double("a"); });
  tolerate([&] { value.as_int("a"); });
  tolerate([&] { value.as_string("a"); });
  tolerate([&] {
    for (const Json& item : value.as_array("a")) ask(item, questions);
  });
  tolerate([&] {
    for (const auto& [key, item] : value.as_object("a")) {
      if (&value.at(key) != &item || value.find(key) != &item) std::abort();
      ask(item, questions);
    }
  });
  tolerate([&] { value.at("no such key"); });
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  ++counts().inputs;
  Json value;
  try {
    value = Json::parse({reinterpret_cast<const char*>(data), size});
  } catch (const std::invalid_argument&) {
    return 0;
  }
  ++counts().past_header;
  ++counts().accepted;
  int questions = 3;
  ask(value, questions);
  const std::string text = json_text(value);
  if (json_text(Json::parse(text)) != text) std::abort();
  ++counts().ran;
  return 0;
}

extern "C" std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size,
                                               std::size_t most, unsigned int seed) {
  Random random(seed);
  if (random.one_in(3)) return LLVMFuzzerMutate(data, size, most);
  Json tree;
  try {
    tree = Json::parse({reinterpret_cast<const char*>(data), size});
  } catch (const std::invalid_argument&) {
    if (!random.one_in(3)) return LLVMFuzzerMutate(data, size, most);
    tree = random_json(words(), random, 4);
  }
  for (std::size_t i = 1 + random.below(3); i-- > 0;) tree = mutated(tree, words(), random);
  return copied(json_text(tree, &random), data, most);
}

extern "C" std::size_t LLVMFuzzerCustomCrossOver(const std::uint8_t* one, std::size_t one_size,
                                                 const std::uint8_t* two, std::size_t two_size,
                                                 std::uint8_t* out, std::size_t most,
                                                 unsigned int seed) {
  Random random(seed);
  try {
    const Json tree = Json::parse({reinterpret_cast<const char*>(one), one_size});
    const Json other = Json::parse({reinterpret_cast<const char*>(two), two_size});
    return copied(json_text(crossed(tree, other, random), &random), out, most);
  } catch (const std::invalid_argument&) {
    const std::size_t cut = random.below(one_size + 1), from = random.below(two_size + 1);
    std::string text(reinterpret_cast<const char*>(one), cut);
    text.append(reinterpret_cast<const char*>(two) + from, two_size - from);
    return copied(text, out, most);
  }
}
