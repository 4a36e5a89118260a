#include "amx_emulated.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstring>
#include <utility>

namespace {

std::uint32_t bits_of(float value) {
  std::uint32_t bits;
  std::memcpy(&bits, &value, sizeof bits);
  return bits;
}
float from_bits(std::uint32_t bits) {
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

// Calls keep the unrolled kernels small: inlined, sixteen lanes at a time, they take the compiler
// more than a minute.
#define EMULATED __attribute__((noinline))

// As kernels/vec_avx512.h.
struct Vec {
  static constexpr int lanes = 16;
  float v[lanes];

  Vec() = default;
  Vec(float x) {
    for (float& lane : v) lane = x;
  }
  template <class F>
  static Vec each(F f) {
    Vec out;
    for (int i = 0; i < lanes; ++i) out.v[i] = f(i);
    return out;
  }
  EMULATED static Vec load(const float* p) {
    return each([&](int i) { return p[i]; });
  }
  EMULATED static Vec load(const float* p, std::int64_t n) {
    return each([&](int i) { return i < n ? p[i] : 0.0f; });
  }
  EMULATED void store(float* p) const { std::memcpy(p, v, sizeof v); }
  EMULATED void store(float* p, std::int64_t n) const {
    std::memcpy(p, v, static_cast<std::size_t>(n) * sizeof *p);
  }
  EMULATED friend Vec operator+(Vec a, Vec b) {
    return each([&](int i) { return a.v[i] + b.v[i]; });
  }
  EMULATED friend Vec operator-(Vec a, Vec b) {
    return each([&](int i) { return a.v[i] - b.v[i]; });
  }
  EMULATED friend Vec operator*(Vec a, Vec b) {
    return each([&](int i) { return a.v[i] * b.v[i]; });
  }
  EMULATED friend Vec fma(Vec a, Vec b, Vec c) {
    // Two roundings: std::fma is a slow call where the CPU has no such instruction.
    return each([&](int i) { return a.v[i] * b.v[i] + c.v[i]; });
  }
  EMULATED friend Vec abs(Vec a) {
    return each([&](int i) { return std::fabs(a.v[i]); });
  }
  EMULATED friend Vec min(Vec a, Vec b) {
    return each([&](int i) { return a.v[i] < b.v[i] ? a.v[i] : b.v[i]; });
  }
  EMULATED friend Vec max(Vec a, Vec b) {
    return each([&](int i) { return a.v[i] > b.v[i] ? a.v[i] : b.v[i]; });
  }
  EMULATED friend Vec quotient(Vec a, Vec b) {
    return each([&](int i) { return a.v[i] / b.v[i]; });
  }
  EMULATED friend Vec scale_by_power_of_two(Vec p, Vec biased) {
    return each([&](int i) { return from_bits(bits_of(p.v[i]) + (bits_of(biased.v[i]) << 23)); });
  }
  EMULATED friend Vec bf16_low(Vec a) {
    return each([&](int i) { return from_bits(bits_of(a.v[i]) << 16); });
  }
  EMULATED friend Vec bf16_high(Vec a) {
    return each([&](int i) { return from_bits(bits_of(a.v[i]) & 0xffff0000u); });
  }
  friend void transpose(Vec (&block)[lanes]) {
    for (int r = 0; r < lanes; ++r) {
      for (int c = 0; c < r; ++c) std::swap(block[r].v[c], block[c].v[r]);
    }
  }
};
using HalfVec = Vec;

// vrcp14ps is wrong by at most 2^-14: so is this, in either direction.
Vec reciprocal_estimate(Vec b) {
  return Vec::each([&](int i) { return 1.0f / b.v[i] * (i % 2 ? 1.0f + 6e-5f : 1.0f - 6e-5f); });
}

std::uint32_t bf16(float value) {
  const std::uint32_t bits = bits_of(value);
  if (std::isnan(value)) return (bits >> 16) | 0x40u;
  return (bits + 0x7fffu + ((bits >> 16) & 1u)) >> 16;
}

// As kernels/pairs_avx512.h.
struct PairVec {
  std::uint32_t v[Vec::lanes];

  void store(std::uint32_t* p) const { std::memcpy(p, v, sizeof v); }
  EMULATED static PairVec of(Vec even, Vec odd) {
    PairVec out;
    for (int i = 0; i < Vec::lanes; ++i) out.v[i] = bf16(even.v[i]) | bf16(odd.v[i]) << 16;
    return out;
  }
  EMULATED Vec low() const {
    return Vec::each([&](int i) { return from_bits(v[i] << 16); });
  }
  EMULATED Vec high() const {
    return Vec::each([&](int i) { return from_bits(v[i] & 0xffff0000u); });
  }
};

struct Registers {
  static constexpr int units = 1, vectors = 1;
  static constexpr int product_sums = 4, product_vectors = 4;
};

}  // namespace

#include "kernels/tiles_emulated.h"
//
#include "kernels/kernels-inl.h"

namespace {

// To the nearest float16, ties to even.
float float16(float x) {
  if (!(std::fabs(x) < 65520.0f)) return std::isnan(x) ? x : std::copysign(INFINITY, x);
  const int exponent = x == 0.0f ? -14 : std::max(std::ilogb(x), -14);
  const float last = std::ldexp(1.0f, exponent - 10);
  return std::nearbyint(x / last) * last;
}

// As kernels/halves_avx512.h.
struct Halves {
  static constexpr int size = 2 * Vec::lanes;
  float v[size];

  Halves() = default;
  explicit Halves(float x) {
    for (float& half : v) half = float16(x);
  }
  template <class F>
  static Halves each(F f) {
    Halves out;
    for (int i = 0; i < size; ++i) out.v[i] = float16(f(i));
    return out;
  }
  template <int n>
  EMULATED static Halves of(const Vecs<n>& x) {
    return each([&](int i) { return x.v[i / Vec::lanes % n].v[i % Vec::lanes]; });
  }
  template <int n>
  EMULATED Vecs<n> floats() const {
    Vecs<n> out;
    for (int i = 0; i < n * Vec::lanes; ++i) out.v[i / Vec::lanes].v[i % Vec::lanes] = v[i];
    return out;
  }
  EMULATED friend Halves operator+(Halves a, Halves b) {
    return each([&](int i) { return a.v[i] + b.v[i]; });
  }
  EMULATED friend Halves operator-(Halves a, Halves b) {
    return each([&](int i) { return a.v[i] - b.v[i]; });
  }
  EMULATED friend Halves operator*(Halves a, Halves b) {
    return each([&](int i) { return a.v[i] * b.v[i]; });
  }
  // A product of float16 numbers is exact in float32.
  EMULATED friend Halves fma(Halves a, Halves b, Halves c) {
    return each([&](int i) { return a.v[i] * b.v[i] + c.v[i]; });
  }
  EMULATED friend Halves min(Halves a, Halves b) {
    return each([&](int i) { return a.v[i] < b.v[i] ? a.v[i] : b.v[i]; });
  }
  EMULATED friend Halves max(Halves a, Halves b) {
    return each([&](int i) { return a.v[i] > b.v[i] ? a.v[i] : b.v[i]; });
  }
  EMULATED friend Halves nearest(Halves a) {
    return each([&](int i) { return std::nearbyint(a.v[i]); });
  }
  EMULATED friend Halves scaled(Halves a, Halves n) {
    return each([&](int i) { return a.v[i] * std::exp2(n.v[i]); });
  }
  // vrcpph is wrong by at most 2^-11 + 2^-14: so is this, in either direction.
  EMULATED friend Halves reciprocal_estimate(Halves b) {
    return each([&](int i) { return 1.0f / b.v[i] * (i % 2 ? 1.0f + 6e-5f : 1.0f - 6e-5f); });
  }
};

}  // namespace

#include "kernels/half_tile-inl.h"

namespace slidecell::test {

const KernelTable& amx_emulated() {
  static const MatrixKernels matrix = make_matrix_kernels<TileBlocks>("amx", 2);
  static const KernelTable table = [] {
    KernelTable kernels = make_kernels<Registers>("amx_emulated", nullptr);
    kernels.matrix = &matrix;
    return kernels;
  }();
  return table;
}

const KernelTable& amx_halves_emulated() {
  static const MatrixKernels matrix = [] {
    MatrixKernels kernels = *amx_emulated().matrix;
    use_half_activations(kernels);
    return kernels;
  }();
  static const KernelTable table = [] {
    KernelTable kernels = amx_emulated();
    kernels.isa = "amx_halves_emulated";
    kernels.matrix = &matrix;
    return kernels;
  }();
  return table;
}

float half_sigmoid(float z, bool odd) { return ::half_sigmoid(Halves(z)).v[odd]; }
float half_tanh(float z, bool odd) { return ::half_tanh(Halves(z)).v[odd]; }

TileConfig tile_config() {
  TileConfig config;
  Tiles::store_config(config);
  return config;
}

void set_tile_config(const TileConfig& config) { Tiles::load_config(config); }

}  // namespace slidecell::test
