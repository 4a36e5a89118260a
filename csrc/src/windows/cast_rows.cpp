#include "windows/cast_rows.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <type_traits>

namespace slidecell {
namespace {

// Element types that C++ has no name for. They carry the bits; `to_real` gives them meaning.
struct Half {
  std::uint16_t bits;
};
struct Boolean {
  std::uint8_t bits;
};

// IEEE 754 binary16 is exact in binary32, so no rounding happens here.
float half_to_float(std::uint16_t half) {
  const std::uint32_t sign = std::uint32_t(half & 0x8000u) << 16;
  const std::uint32_t exponent = (half >> 10) & 0x1fu;
  const std::uint32_t mantissa = half & 0x3ffu;
  if (exponent == 0) {  // zero or subnormal: mantissa * 2^-24, a normal float32
    const float magnitude = static_cast<float>(mantissa) * 0x1p-24f;
    return sign != 0 ? -magnitude : magnitude;
  }
  // Infinity and NaN keep an exponent of all ones; others move from bias 15 to bias 127.
  const std::uint32_t wide = exponent == 0x1fu ? 0xffu : exponent + (127 - 15);
  const std::uint32_t bits = sign | (wide << 23) | (mantissa << 13);
  float value;
  std::memcpy(&value, &bits, sizeof value);
  return value;
}

template <class T>
T to_real(T x) {
  return x;
}
float to_real(Half x) { return half_to_float(x.bits); }
float to_real(Boolean x) { return x.bits != 0 ? 1.0f : 0.0f; }

// Through memcpy, because a strided view need not be aligned; one plain load in machine code.
template <class T>
auto load(const char* address) {
  T x;
  std::memcpy(&x, address, sizeof x);
  return to_real(x);
}

// 1 for NaN and infinity, by the exponent's bits: integer work that vectorises (as an `or` over a
// row of std::uint32_t; over bool it does not), whatever the floating-point flags.
std::uint32_t not_finite(float x) {
  std::uint32_t bits;
  std::memcpy(&bits, &x, sizeof bits);
  return (bits & 0x7f800000u) == 0x7f800000u ? 1u : 0u;
}

// The same of a value as the series has it; whole numbers always are.
template <class T>
bool is_missing(T x) {
  if constexpr (std::is_floating_point_v<T>) {
    return !(std::abs(x) <= std::numeric_limits<T>::max());
  } else {
    static_cast<void>(x);
    return false;
  }
}

struct Block {
  const char* data;  // first element of the first row
  std::int64_t n, cols;
  std::ptrdiff_t row_stride, col_stride;  // bytes
  const ColumnScaler* scaler;
  float* out;
  std::ptrdiff_t out_row_stride, out_col_stride;  // floats
  RowState* bad;
};

// The state of a row of which a value, scaled and cast, is not finite. Rare: out of the way of
// copy_block.
template <class T>
[[gnu::noinline]] RowState state_of(const char* row, std::int64_t cols, std::ptrdiff_t step) {
  for (std::int64_t c = 0; c < cols; ++c) {
    if (is_missing(load<T>(row + c * step))) return kMissingRow;
  }
  return kTooLargeRow;
}

// Adjacent / OutAdjacent: columns lie side by side in the series / in the output. Known at compile
// time they leave a plain loop over the row, which the compiler vectorises.
template <class T, bool Scaled, bool Checked, bool Adjacent, bool OutAdjacent>
RowState copy_block(const Block& b) {
  const std::ptrdiff_t step = Adjacent ? static_cast<std::ptrdiff_t>(sizeof(T)) : b.col_stride;
  const std::ptrdiff_t out_step = OutAdjacent ? 1 : b.out_col_stride;
  RowState any = kWholeRow;
  for (std::int64_t r = 0; r < b.n; ++r) {
    const char* row = b.data + r * b.row_stride;
    float* out = b.out + r * b.out_row_stride;
    std::uint32_t row_bad = 0;
    for (std::int64_t c = 0; c < b.cols; ++c) {
      const auto x = load<T>(row + c * step);
      float value;
      if constexpr (Scaled) {
        value =
            static_cast<float>((static_cast<double>(x) - b.scaler->center[c]) / b.scaler->scale[c]);
      } else {
        value = static_cast<float>(x);
      }
      if constexpr (Checked) row_bad |= not_finite(value);
      out[c * out_step] = value;
    }
    if constexpr (Checked) {
      b.bad[r] = static_cast<RowState>(row_bad);
      if (row_bad != 0) {
        b.bad[r] = state_of<T>(row, b.cols, step);
        any |= b.bad[r];
        for (std::int64_t c = 0; c < b.cols; ++c) out[c * out_step] = 0.0f;
      }
    }
  }
  return any;
}

// Only float32 and float64 get code of their own for adjacent columns: the other types are rare in
// a series, and a third of the machine code serves them as well.
template <class T, bool Scaled, bool Checked>
RowState copy_layout(const Block& b) {
  if constexpr (std::is_floating_point_v<T>) {
    if (b.col_stride == static_cast<std::ptrdiff_t>(sizeof(T))) {
      if (b.out_col_stride != 1) return copy_block<T, Scaled, Checked, true, false>(b);
      if constexpr (!Scaled && !Checked) {
        // A window of adjacent rows is one long row: this is what `gather` spends its time in.
        const std::ptrdiff_t row_bytes = b.cols * static_cast<std::ptrdiff_t>(sizeof(T));
        if (b.row_stride == row_bytes && b.out_row_stride == b.cols) {
          if constexpr (std::is_same_v<T, float>) {
            std::memcpy(b.out, b.data, static_cast<std::size_t>(b.n * row_bytes));
            return kWholeRow;
          }
          Block run = b;
          run.cols = b.n * b.cols;
          run.n = 1;
          return copy_block<T, false, false, true, true>(run);
        }
      }
      return copy_block<T, Scaled, Checked, true, true>(b);
    }
  }
  return copy_block<T, Scaled, Checked, false, false>(b);
}

template <class T>
RowState copy_typed(const Block& b) {
  if (b.scaler != nullptr) {
    return b.bad != nullptr ? copy_layout<T, true, true>(b) : copy_layout<T, true, false>(b);
  }
  return b.bad != nullptr ? copy_layout<T, false, true>(b) : copy_layout<T, false, false>(b);
}

}  // namespace

RowState cast_rows(const SeriesView& series, std::int64_t first, std::int64_t n,
                   const ColumnScaler* scaler, float* out, std::ptrdiff_t out_row_stride,
                   std::ptrdiff_t out_col_stride, RowState* bad) {
  if (n <= 0) return kWholeRow;
  if (series.cols == 0) {  // nothing to read, and `data` may be null
    if (bad != nullptr) std::fill_n(bad, n, kWholeRow);
    return kWholeRow;
  }
  const Block block{static_cast<const char*>(series.data) + first * series.row_stride,
                    n,
                    series.cols,
                    series.row_stride,
                    series.col_stride,
                    scaler,
                    out,
                    out_row_stride,
                    out_col_stride,
                    bad};
  switch (series.dtype) {
    case DType::f32:
      return copy_typed<float>(block);
    case DType::f64:
      return copy_typed<double>(block);
    case DType::f16:
      return copy_typed<Half>(block);
    case DType::i8:
      return copy_typed<std::int8_t>(block);
    case DType::i16:
      return copy_typed<std::int16_t>(block);
    case DType::i32:
      return copy_typed<std::int32_t>(block);
    case DType::i64:
      return copy_typed<std::int64_t>(block);
    case DType::u8:
      return copy_typed<std::uint8_t>(block);
    case DType::u16:
      return copy_typed<std::uint16_t>(block);
    case DType::u32:
      return copy_typed<std::uint32_t>(block);
    case DType::u64:
      return copy_typed<std::uint64_t>(block);
    case DType::boolean:
      return copy_typed<Boolean>(block);
  }
  return kWholeRow;
}

bool holds_too_large(const SeriesView& series, const ColumnScaler* scaler) {
  // Every other type's values lie within float32's.
  return scaler != nullptr || series.dtype == DType::f64;
}

}  // namespace slidecell
