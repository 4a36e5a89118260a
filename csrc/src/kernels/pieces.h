// Functions in 31 pieces of the second degree, made by the compiler.
#pragma once

namespace {

constexpr double kLog2 = 0.69314718055994531, kSqrt3 = 1.7320508075688772;

// e^x for |x| < 32: Taylor's series of e^(x / 256), squared eight times.
constexpr double exponential_of(double x) {
  const double y = x / 256.0;
  double term = 1.0, sum = 1.0;
  for (int i = 1; i < 12; ++i) {
    term *= y / i;
    sum += term;
  }
  for (int i = 0; i < 8; ++i) sum *= sum;
  return sum;
}
// Of sums that are scaled: see matrix_table.h.
constexpr double scaled_sigmoid_of(double z) { return 1.0 / (1.0 + exponential_of(kLog2 * z)); }
constexpr double tanh_of(double x) { return 1.0 - 2.0 / (exponential_of(2.0 * x) + 1.0); }
constexpr double scaled_tanh_of(double z) { return tanh_of(0.5 * kLog2 * z); }

// Piece n, of -15 .. 15, is constant + linear x + square x^2 around x = n / per_unit and stands at
// n modulo 32.
struct Pieces {
  alignas(64) float constant[32];
  alignas(64) float linear[32];
  alignas(64) float square[32];
  float per_unit;  // pieces
  float limit;     // the function is constant beyond
};

// Each piece meets the function at the three points that make the best error nearly least.
constexpr Pieces pieces_of(double (*function)(double), double width) {
  Pieces pieces{};
  for (int n = -15; n <= 15; ++n) {
    const double middle = n * width, apart = width * kSqrt3 / 4.0;
    const double at = function(middle);
    const double below = function(middle - apart), above = function(middle + apart);
    const double square = (above + below - 2.0 * at) / (2.0 * apart * apart);
    const double slope = (above - below) / (2.0 * apart);
    const int i = n & 31;
    pieces.constant[i] = static_cast<float>(at - middle * (slope - square * middle));
    pieces.linear[i] = static_cast<float>(slope - 2.0 * square * middle);
    pieces.square[i] = static_cast<float>(square);
  }
  pieces.per_unit = static_cast<float>(1.0 / width);
  pieces.limit = static_cast<float>(15.49 * width);
  return pieces;
}

// Widths that reach |x| = 9 (sigmoid) and 4.5 (tanh).
constexpr Pieces kSigmoidPieces = pieces_of(scaled_sigmoid_of, 0.58 / kLog2);
constexpr Pieces kScaledTanhPieces = pieces_of(scaled_tanh_of, 0.58 / kLog2);
constexpr Pieces kTanhPieces = pieces_of(tanh_of, 0.29);

}  // namespace
