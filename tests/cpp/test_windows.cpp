// Window arithmetic against a plain loop, and the one function that casts rows.
#include "slidecell/windows.hpp"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <limits>
#include <stdexcept>
#include <string>
#include <vector>

#include "test.h"
#include "windows/cast_rows.h"

using namespace slidecell;

namespace {

constexpr std::int64_t kMax = std::numeric_limits<std::int64_t>::max();

// The definition, row by row: every start of every entity whose window and target fit in it.
std::vector<std::int64_t> naive_starts(const std::vector<std::int64_t>& offsets,
                                       std::int64_t window, std::int64_t horizon,
                                       std::int64_t stride) {
  std::vector<std::int64_t> starts;
  for (std::size_t g = 0; g + 1 < offsets.size(); ++g) {
    for (std::int64_t s = offsets[g]; s + window + horizon <= offsets[g + 1]; s += stride) {
      starts.push_back(s);
    }
  }
  return starts;
}

void test_arithmetic() {
  const std::vector<std::vector<std::int64_t>> cases = {
      {0}, {0, 0}, {0, 1}, {0, 12, 15, 20}, {0, 0, 0, 5, 5, 6, 30, 30}, {0, 1, 2, 3, 4}, {0, 100}};
  for (const auto& offsets : cases) {
    for (std::int64_t window : {1, 2, 3, 7}) {
      for (std::int64_t horizon : {0, 1, 4}) {
        for (std::int64_t stride : {1, 2, 5, 200}) {
          const WindowPlan plan(offsets, window, horizon, stride);
          const auto starts = naive_starts(offsets, window, horizon, stride);
          CHECK(plan.size() == static_cast<std::int64_t>(starts.size()));
          for (std::size_t i = 0; i < starts.size(); ++i) {
            const auto index = static_cast<std::int64_t>(i);
            const auto g = static_cast<std::size_t>(plan.entity_of(index));
            CHECK(plan.start(index) == starts[i]);
            CHECK(offsets[g] <= starts[i] && starts[i] + window + horizon <= offsets[g + 1]);
          }
        }
      }
    }
  }
}

void test_extremes() {
  CHECK(WindowPlan({0, kMax}, 1, 0).size() == kMax);
  CHECK(WindowPlan({0, kMax}, 1, 0, kMax).size() == 1);
  CHECK(WindowPlan({0, 5, kMax}, kMax, 0).size() == 0);
  CHECK(WindowPlan({0, kMax - 1, kMax}, 2, 1).start(kMax - 4) == kMax - 4);
}

void test_refusals() {
  using Offsets = std::vector<std::int64_t>;
  CHECK_THROWS(WindowPlan(Offsets{}, 1, 0), std::invalid_argument,
               "offsets: expected 0 first, got none");
  CHECK_THROWS(WindowPlan(Offsets{1, 5}, 1, 0), std::invalid_argument,
               "offsets: expected 0 first, got 1");
  CHECK_THROWS(WindowPlan(Offsets{0, 5, 3}, 1, 0), std::invalid_argument,
               "offsets: expected numbers that never decrease, got 5 then 3 at position 2");
  CHECK_THROWS(WindowPlan(Offsets{0, 5}, 0, 0), std::invalid_argument,
               "window: expected at least 1, got 0");
  CHECK_THROWS(WindowPlan(Offsets{0, 5}, 1, -1), std::invalid_argument,
               "horizon: expected at least 0, got -1");
  CHECK_THROWS(WindowPlan(Offsets{0, 5}, 1, 0, 0), std::invalid_argument,
               "stride: expected at least 1, got 0");
  CHECK_THROWS(WindowPlan(Offsets{0, 5}, kMax, 1), std::invalid_argument, "exceeds 64 bits");
}

// Entities of every length, empty ones and one that dwarfs the others: a bucket of indices then
// holds many entities, or an entity many buckets.
void test_find_starts() {
  std::vector<std::int64_t> lengths(300, 0);
  for (std::size_t g = 0; g < lengths.size(); ++g) lengths[g] = g % 7 == 0 ? 0 : g % 13;
  lengths[150] = 5000;
  for (int ends : {1, 2, 3, 40, 151, 300}) {
    std::vector<std::int64_t> offsets = {0};
    for (int g = 0; g < ends; ++g) {
      offsets.push_back(offsets.back() + lengths[static_cast<std::size_t>(g)]);
    }
    std::vector<float> series(static_cast<std::size_t>(offsets.back()));
    for (std::size_t i = 0; i < series.size(); ++i) series[i] = static_cast<float>(i);
    const SeriesView view(series.data(), offsets.back(), 1);
    for (std::int64_t window : {1, 3, 11}) {
      const WindowPlan plan(offsets, window, 0);
      const auto starts = naive_starts(offsets, window, 0, 1);
      std::vector<std::int64_t> indices(starts.size());
      for (std::size_t i = 0; i < indices.size(); ++i) {
        indices[i] = static_cast<std::int64_t>((i * 7919) % indices.size());
      }
      std::vector<float> x(indices.size() * static_cast<std::size_t>(window), -1.0f);
      plan.gather(view, indices, x.data(), nullptr, 1);
      for (std::size_t i = 0; i < indices.size(); ++i) {
        const float* got = x.data() + i * static_cast<std::size_t>(window);
        CHECK(got[0] == static_cast<float>(starts[static_cast<std::size_t>(indices[i])]));
        CHECK(got[window - 1] == got[0] + static_cast<float>(window - 1));
      }
    }
  }
}

void test_gather_rows() {
  const std::vector<float> series = {0, 1, 2, 3, 4, 5, 6, 7};
  const SeriesView view(series.data(), 4, 2);
  const std::vector<std::int64_t> starts = {1, 0, 1};
  std::vector<float> x(3 * 2 * 2, -1.0f), y(3 * 2, -1.0f);
  gather_rows(view, starts, 2, 1, x.data(), y.data());
  CHECK(x == (std::vector<float>{2, 3, 4, 5, 0, 1, 2, 3, 2, 3, 4, 5}));
  CHECK(y == (std::vector<float>{6, 7, 4, 5, 6, 7}));
  gather_rows(view, {}, 9, 9, nullptr, nullptr);
  x.assign(x.size(), -1.0f);
  for (std::int64_t bad : {std::int64_t{-1}, std::int64_t{2}, kMax}) {
    const std::vector<std::int64_t> some = {0, bad};
    CHECK_THROWS(gather_rows(view, some, 2, 1, x.data(), y.data()), std::out_of_range,
                 "starts: expected rows 0 <= start < 2, got " + std::to_string(bad));
  }
  CHECK_THROWS(gather_rows(view, starts, 2, 5, x.data(), y.data()), std::out_of_range,
               "starts: expected rows 0 <= start < 0, got 1");
  CHECK_THROWS(gather_rows(view, starts, kMax, kMax, x.data(), y.data()), std::out_of_range,
               "starts: expected rows 0 <= start < 0, got 1");
  CHECK_THROWS(gather_rows(view, starts, 0, 1, x.data(), y.data()), std::invalid_argument,
               "window: expected at least 1, got 0");
  CHECK_THROWS(gather_rows(view, starts, 1, -1, x.data(), y.data()), std::invalid_argument,
               "horizon: expected at least 0, got -1");
  CHECK(x[0] == -1.0f);  // refused before the first window is written
}

void test_gather() {
  constexpr std::int64_t num_rows = 3000, num_cols = 5, window = 7, horizon = 2;
  std::vector<float> series(num_rows * num_cols);
  for (std::size_t i = 0; i < series.size(); ++i) series[i] = static_cast<float>(i);
  const SeriesView view(series.data(), num_rows, num_cols);
  const WindowPlan plan({0, 1000, 1004, 1004, num_rows}, window, horizon, 2);
  std::vector<std::int64_t> indices;
  for (std::int64_t i = 0; i < plan.size(); ++i) indices.push_back((i * 7919) % plan.size());
  const std::size_t n = indices.size();
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (int threads : {0, 1, 2, 4}) {
    std::vector<float> x(n * window * num_cols, nan), y(n * horizon * num_cols, nan);
    plan.gather(view, indices, x.data(), y.data(), threads);
    for (std::size_t i = 0; i < n; ++i) {
      const float* row = series.data() + plan.start(indices[i]) * num_cols;
      CHECK(std::equal(row, row + window * num_cols, x.data() + i * window * num_cols));
      row += window * num_cols;
      CHECK(std::equal(row, row + horizon * num_cols, y.data() + i * horizon * num_cols));
    }
  }
  std::vector<float> x(window * num_cols, nan);
  plan.gather(view, Span<const std::int64_t>(indices.data(), 1), x.data(), nullptr);
  CHECK(x[0] == 0.0f);
  for (std::int64_t bad : {std::int64_t{-1}, plan.size(), kMax}) {
    indices = {0, bad};
    std::vector<float> out(2 * window * num_cols, nan);
    CHECK_THROWS(plan.gather(view, indices, out.data(), nullptr), std::out_of_range,
                 "indices: expected windows 0 <= index < 1");
    CHECK(std::isnan(out[0]));  // refused before the first window is written
  }
  CHECK_THROWS(
      plan.gather(SeriesView(series.data(), num_rows - 1, num_cols), indices, x.data(), nullptr),
      std::invalid_argument, "series: expected 3000 rows (where offsets end), got 2999");
  CHECK_THROWS(plan.gather(view, {}, x.data(), nullptr, -1), std::invalid_argument,
               "num_threads: expected");
}

template <class T>
void check_dtype(DType dtype, const std::vector<T>& values, const std::vector<float>& expected) {
  // At an odd address, as a view into a packed record may be; every row order and stride.
  std::vector<char> bytes(values.size() * sizeof(T) + 1);
  std::memcpy(bytes.data() + 1, values.data(), values.size() * sizeof(T));
  const auto n = static_cast<std::int64_t>(values.size());
  SeriesView view;
  view.data = bytes.data() + 1;
  view.dtype = dtype;
  view.rows = n;
  view.cols = 1;
  view.row_stride = view.col_stride = sizeof(T);
  std::vector<float> out(values.size());
  cast_rows(view, 0, n, nullptr, out.data(), 1, 1, nullptr);
  CHECK(out == expected);
  view.data = bytes.data() + 1 + (values.size() - 1) * sizeof(T);
  view.row_stride = -view.row_stride;
  cast_rows(view, 0, n, nullptr, out.data(), 1, 7, nullptr);
  CHECK(std::equal(out.rbegin(), out.rend(), expected.begin()));
}

void test_dtypes() {
  check_dtype<float>(DType::f32, {0.1f, -1e38f}, {0.1f, -1e38f});
  check_dtype<double>(DType::f64, {0.1, -1e-60}, {0.1f, -0.0f});
  check_dtype<std::int8_t>(DType::i8, {-128, 127}, {-128, 127});
  check_dtype<std::int16_t>(DType::i16, {-32768, 7}, {-32768, 7});
  check_dtype<std::int32_t>(DType::i32, {-2147483647, 16777217}, {-2147483648.0f, 16777216.0f});
  check_dtype<std::int64_t>(DType::i64, {kMax, -3}, {9223372036854775808.0f, -3});
  check_dtype<std::uint8_t>(DType::u8, {255, 0}, {255, 0});
  check_dtype<std::uint16_t>(DType::u16, {65535, 0}, {65535, 0});
  check_dtype<std::uint32_t>(DType::u32, {4294967295u, 1}, {4294967296.0f, 1});
  check_dtype<std::uint64_t>(DType::u64, {~std::uint64_t{0}, 1}, {18446744073709551616.0f, 1});
  check_dtype<std::uint8_t>(DType::boolean, {0, 1, 2}, {0, 1, 1});
  // 1, -2, largest, smallest normal, smallest and largest subnormal, zero, infinities.
  const float inf = std::numeric_limits<float>::infinity();
  check_dtype<std::uint16_t>(
      DType::f16, {0x3c00, 0xc000, 0x7bff, 0x0400, 0x0001, 0x03ff, 0x8001, 0x0000, 0x7c00, 0xfc00},
      {1.0f, -2.0f, 65504.0f, 0x1p-14f, 0x1p-24f, 0x1p-14f - 0x1p-24f, -0x1p-24f, 0, inf, -inf});
  const std::uint16_t halves[] = {0x7e01, 0x8000};
  SeriesView view;
  view.data = halves;
  view.dtype = DType::f16;
  view.rows = 1;
  view.cols = 2;
  view.col_stride = 2;
  float out[2];
  cast_rows(view, 0, 1, nullptr, out, 2, 1, nullptr);
  CHECK(std::isnan(out[0]));
  CHECK(out[1] == 0.0f && std::signbit(out[1]));
}

// Every combination of scaling, checking and layout against the formula.
template <class T>
void test_layouts(DType dtype) {
  constexpr std::int64_t num_rows = 40, num_cols = 9, first = 3, count = 33;
  std::vector<T> values(num_rows * num_cols);
  for (std::size_t i = 0; i < values.size(); ++i) values[i] = static_cast<T>(0.37) * T(i % 101);
  values[5 * num_cols + 8] = std::numeric_limits<T>::quiet_NaN();
  values[7 * num_cols] = -std::numeric_limits<T>::infinity();
  values[9 * num_cols] = std::numeric_limits<T>::max();  // too large once it is cast or scaled
  values[11 * num_cols] = std::numeric_limits<T>::max();
  values[11 * num_cols + 4] = std::numeric_limits<T>::quiet_NaN();  // and missing: that counts
  std::vector<double> center(num_cols), scale(num_cols);
  for (std::size_t c = 0; c < num_cols; ++c) {
    center[c] = 0.1 * static_cast<double>(c);
    scale[c] = 0.7 + static_cast<double>(c);
  }
  const ColumnScaler scaler{center.data(), scale.data()};
  for (bool scaled : {false, true}) {
    for (bool checked : {false, true}) {
      for (bool row_major : {false, true}) {
        for (bool transposed : {false, true}) {
          SeriesView view;
          view.data = values.data();
          view.dtype = dtype;
          view.rows = row_major ? num_rows : num_cols * num_rows / 10;
          view.cols = num_cols;
          view.row_stride = row_major ? sizeof(T) * num_cols : sizeof(T);
          view.col_stride = row_major ? sizeof(T) : sizeof(T) * num_rows;
          const std::int64_t out_row = transposed ? 1 : num_cols, out_col = transposed ? count : 1;
          std::vector<float> out(count * num_cols, -1.0f);
          std::vector<std::uint8_t> bad(count, 7);
          const RowState any = cast_rows(view, first, count, scaled ? &scaler : nullptr, out.data(),
                                         out_row, out_col, checked ? bad.data() : nullptr);
          RowState any_expected = kWholeRow;
          for (std::int64_t r = 0; r < count; ++r) {
            float expected[num_cols];
            bool bad_expected = false, missing = false;
            for (std::int64_t c = 0; c < num_cols; ++c) {
              const auto i = static_cast<std::size_t>(c);
              const std::int64_t at =
                  row_major ? (first + r) * num_cols + c : first + r + c * num_rows;
              const T x = values[static_cast<std::size_t>(at)];
              expected[c] =
                  static_cast<float>(scaled ? (static_cast<double>(x) - center[i]) / scale[i] : x);
              bad_expected |= !std::isfinite(expected[c]);
              missing |= !std::isfinite(x);
            }
            const RowState state = missing ? kMissingRow : bad_expected ? kTooLargeRow : kWholeRow;
            any_expected |= state;
            if (checked) CHECK(bad[static_cast<std::size_t>(r)] == state);
            for (std::int64_t c = 0; c < num_cols; ++c) {
              const float got = out[static_cast<std::size_t>(r * out_row + c * out_col)];
              const float want = checked && bad_expected ? 0.0f : expected[c];
              CHECK(got == want || (std::isnan(got) && std::isnan(want)));
            }
          }
          CHECK(any == (checked ? any_expected : kWholeRow));
        }
      }
    }
  }
}

void test_overflow_is_too_large() {
  const double huge[] = {1e39};  // finite, but not as float32
  SeriesView view;
  view.data = huge;
  view.dtype = DType::f64;
  view.rows = view.cols = 1;
  float out = 1.0f;
  std::uint8_t bad = 0;
  CHECK(cast_rows(view, 0, 1, nullptr, &out, 1, 1, &bad));
  CHECK(bad == kTooLargeRow && out == 0.0f);
  CHECK(holds_too_large(view, nullptr));
  const float small[] = {1.0f};
  CHECK(!holds_too_large(SeriesView(small, 1, 1), nullptr));
}

void test_no_columns() {
  const SeriesView view(nullptr, 3, 0);
  std::uint8_t bad[] = {7, 7, 7};
  CHECK(!cast_rows(view, 0, 3, nullptr, nullptr, 0, 1, bad));
  CHECK(bad[0] == 0 && bad[2] == 0);
}

}  // namespace

int main() {
  test_arithmetic();
  test_extremes();
  test_refusals();
  test_find_starts();
  test_gather();
  test_gather_rows();
  test_dtypes();
  test_layouts<float>(DType::f32);
  test_layouts<double>(DType::f64);
  test_overflow_is_too_large();
  test_no_columns();
  return test::result();
}
