// One float: every platform, and the check of the vector units.
#pragma once

#include <cstdint>

namespace {  // one private copy per translation unit: see isa_scalar.cpp

struct Vec {
  static constexpr int lanes = 1;
  float v;

  Vec() = default;
  Vec(float x) : v(x) {}

  static Vec load(const float* p) { return *p; }
  static Vec load(const float* p, std::int64_t) { return *p; }
  void store(float* p) const { *p = v; }
  void store(float* p, std::int64_t) const { *p = v; }

  friend Vec operator+(Vec a, Vec b) { return a.v + b.v; }
  friend Vec operator-(Vec a, Vec b) { return a.v - b.v; }
  friend Vec operator*(Vec a, Vec b) { return a.v * b.v; }
  // Two roundings: fmaf() is a library call of tens of nanoseconds where the CPU has no FMA.
  friend Vec fma(Vec a, Vec b, Vec c) { return a.v * b.v + c.v; }
  friend Vec abs(Vec a) { return __builtin_fabsf(a.v); }
  // A NaN in the second operand comes through, as with vminps.
  friend Vec min(Vec a, Vec b) { return a.v < b.v ? a.v : b.v; }
  friend Vec max(Vec a, Vec b) { return a.v > b.v ? a.v : b.v; }

  friend Vec quotient(Vec a, Vec b) { return a.v / b.v; }
  // p * 2^n for p * 2^n in the normal range: the low bits of `biased` = n + 1.5*2^23 hold n.
  friend Vec scale_by_power_of_two(Vec p, Vec biased) {
    std::uint32_t bits, exponent;
    __builtin_memcpy(&bits, &p.v, sizeof bits);
    __builtin_memcpy(&exponent, &biased.v, sizeof exponent);
    return from_bits(bits + (exponent << 23));
  }

  // The two bf16 numbers in each 32-bit lane, as float32.
  friend Vec bf16_low(Vec a) {
    std::uint32_t bits;
    __builtin_memcpy(&bits, &a.v, sizeof bits);
    return from_bits(bits << 16);
  }
  friend Vec bf16_high(Vec a) {
    std::uint32_t bits;
    __builtin_memcpy(&bits, &a.v, sizeof bits);
    return from_bits(bits & 0xffff0000u);
  }
  static Vec from_bits(std::uint32_t bits) {
    float value;
    __builtin_memcpy(&value, &bits, sizeof value);
    return value;
  }

  // Row k of the block becomes column k.
  friend void transpose(Vec (& /*block*/)[1]) {}
};

// Few numbers fit a shorter register, which would be no faster here.
using HalfVec = Vec;

// What the kernels hold in registers: 4 * units sums for each of `vectors` groups of columns.
struct Registers {
  // Four columns fill a register of every CPU. With two, GCC 12 loads those of the row after the
  // one that is needed as well: beyond the last row, where a page of memory may end.
  static constexpr int units = 1, vectors = 4;
  // Where gradients of weights are added up: sums, and groups of columns beside them.
  static constexpr int product_sums = 8, product_vectors = 4;
};

}  // namespace
