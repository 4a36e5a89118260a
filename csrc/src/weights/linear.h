// A dense layer: its weights, and their packed forms.
#pragma once

#include <array>
#include <cstdint>
#include <mutex>
#include <utility>
#include <vector>

#include "cpu/active_kernels.h"
#include "weights/pack.h"

namespace slidecell {

class Linear {
 public:
  // w [rows, depth], b [rows].
  Linear(std::int64_t rows, std::int64_t depth, std::vector<float> w, std::vector<float> b)
      : rows_(rows), depth_(depth), w_(std::move(w)), b_(std::move(b)) {}

  std::int64_t rows() const { return rows_; }
  std::int64_t depth() const { return depth_; }

  // Packed on first use per ISA; later calls take no lock.
  const PackedLinear& packed(const KernelTable& kernels) const {
    const std::size_t isa = isa_index(kernels);
    std::call_once(once_[isa], [&] {
      packed_[isa] = pack_linear(kernels, rows_, depth_, w_.data(), b_.data());
    });
    return packed_[isa];
  }

 private:
  std::int64_t rows_, depth_;
  std::vector<float> w_, b_;
  mutable std::array<std::once_flag, kMaxIsas> once_;
  mutable std::array<PackedLinear, kMaxIsas> packed_;
};

}  // namespace slidecell
