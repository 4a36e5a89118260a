// What libFuzzer calls, and what it offers.
#pragma once

#include <algorithm>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <string>

extern "C" {
int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size);
std::size_t LLVMFuzzerCustomMutator(std::uint8_t* data, std::size_t size, std::size_t most,
                                    unsigned int seed);
std::size_t LLVMFuzzerCustomCrossOver(const std::uint8_t* one, std::size_t one_size,
                                      const std::uint8_t* two, std::size_t two_size,
                                      std::uint8_t* out, std::size_t most, unsigned int seed);
// libFuzzer's own changes of bytes.
std::size_t LLVMFuzzerMutate(std::uint8_t* data, std::size_t size, std::size_t most);
}

namespace slidecell::fuzz {

// Copies as much of the text as fits; returns its size.
inline std::size_t copied(const std::string& text, std::uint8_t* out, std::size_t most) {
  const std::size_t size = std::min(text.size(), most);
  if (size > 0) std::memcpy(out, text.data(), size);
  return size;
}

// The text after libFuzzer's own change of its bytes.
inline std::string byte_mutated(std::string text, std::size_t most) {
  const std::size_t size = text.size(), room = std::max({size, most, std::size_t{1}});
  text.resize(room);
  text.resize(LLVMFuzzerMutate(reinterpret_cast<std::uint8_t*>(text.data()), size, room));
  return text;
}

}  // namespace slidecell::fuzz
