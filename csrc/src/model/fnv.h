// FNV-1a, 64 bits: tells models and state files apart; no protection against intent.
#pragma once

#include <cstddef>
#include <cstdint>

namespace slidecell {

class Fnv {
 public:
  void add(const void* data, std::size_t bytes) {
    const auto* p = static_cast<const unsigned char*>(data);
    for (std::size_t i = 0; i < bytes; ++i) {
      hash_ = (hash_ ^ p[i]) * std::uint64_t{1099511628211u};
    }
  }
  std::uint64_t value() const { return hash_; }

 private:
  std::uint64_t hash_ = std::uint64_t{14695981039346656037u};
};

}  // namespace slidecell
