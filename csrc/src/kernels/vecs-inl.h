// Several vectors in lockstep: every operation on all of them before the next.
//
// An activation is a chain of some 15 dependent operations of 3 to 4 cycles, and a core looks for
// work among the next hundred instructions or two. Vector by vector it mostly waits for the chain;
// in lockstep it finds as many chains as there are vectors.
#pragma once

namespace {

template <int n>
struct Vecs {
  Vec v[n];

  Vecs() = default;
  Vecs(float x) {
#pragma GCC unroll 8
    for (int i = 0; i < n; ++i) v[i] = Vec(x);
  }

  static Vecs of(const Vec (&x)[n]) {
    Vecs r;
#pragma GCC unroll 8
    for (int i = 0; i < n; ++i) r.v[i] = x[i];
    return r;
  }
  // n groups of columns, side by side.
  static Vecs load(const float* p) {
    Vecs r;
#pragma GCC unroll 8
    for (int i = 0; i < n; ++i) r.v[i] = Vec::load(p + i * Vec::lanes);
    return r;
  }
  // Group i from column col[i] on.
  static Vecs load(const float* p, const std::int32_t* col) {
    Vecs r;
#pragma GCC unroll 8
    for (int i = 0; i < n; ++i) r.v[i] = Vec::load(p + col[i]);
    return r;
  }
  void store(float* p) const {
#pragma GCC unroll 8
    for (int i = 0; i < n; ++i) v[i].store(p + i * Vec::lanes);
  }

  template <class Operation, class... Operands>
  static inline __attribute__((always_inline)) Vecs each(Operation operation,
                                                         const Operands&... operands) {
    Vecs r;
#pragma GCC unroll 8
    for (int i = 0; i < n; ++i) r.v[i] = operation(operands.v[i]...);
    return r;
  }
  friend Vecs operator+(const Vecs& a, const Vecs& b) {
    return each([](Vec x, Vec y) { return x + y; }, a, b);
  }
  friend Vecs operator-(const Vecs& a, const Vecs& b) {
    return each([](Vec x, Vec y) { return x - y; }, a, b);
  }
  friend Vecs operator*(const Vecs& a, const Vecs& b) {
    return each([](Vec x, Vec y) { return x * y; }, a, b);
  }
  friend Vecs fma(const Vecs& a, const Vecs& b, const Vecs& c) {
    return each([](Vec x, Vec y, Vec z) { return fma(x, y, z); }, a, b, c);
  }
  friend Vecs min(const Vecs& a, const Vecs& b) {
    return each([](Vec x, Vec y) { return min(x, y); }, a, b);
  }
  friend Vecs max(const Vecs& a, const Vecs& b) {
    return each([](Vec x, Vec y) { return max(x, y); }, a, b);
  }
  friend Vecs abs(const Vecs& a) {
    return each([](Vec x) { return abs(x); }, a);
  }
  friend Vecs quotient(const Vecs& a, const Vecs& b) {
    return each([](Vec x, Vec y) { return quotient(x, y); }, a, b);
  }
  friend Vecs scale_by_power_of_two(const Vecs& p, const Vecs& biased) {
    return each([](Vec x, Vec y) { return scale_by_power_of_two(x, y); }, p, biased);
  }
};

}  // namespace
