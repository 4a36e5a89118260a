// What a kernel reads ends where its arguments say: each one lies before memory that may not be
// read. Compilers that vectorise plain loops have loaded a row more.
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <random>
#include <string>
#include <vector>

#include "cpu/active_kernels.h"
#include "kernels/kernel_table.h"
#include "models.h"
#include "slidecell/cpu.hpp"
#include "test.h"
#include "weights/head.h"
#include "weights/pack.h"

namespace {

using namespace slidecell;
using test::Floats;

// Random numbers whose last one is the last of a page; the page after it may not be touched.
class PageEnd {
 public:
  PageEnd(std::int64_t size, std::mt19937& rng) {
    const auto page = static_cast<std::size_t>(sysconf(_SC_PAGESIZE));
    const std::size_t bytes = static_cast<std::size_t>(size) * sizeof(float);
    const std::size_t kept = (bytes + page - 1) / page * page;
    mapped_ = kept + page;
    memory_ = mmap(nullptr, mapped_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    CHECK(memory_ != MAP_FAILED && mprotect(bytes_from(kept), page, PROT_NONE) == 0);
    data_ = reinterpret_cast<float*>(bytes_from(kept - bytes));
    std::uniform_real_distribution<float> uniform(-1.0f, 1.0f);
    std::generate_n(data_, size, [&] { return uniform(rng); });
  }
  PageEnd(const PageEnd&) = delete;
  PageEnd& operator=(const PageEnd&) = delete;
  ~PageEnd() { munmap(memory_, mapped_); }

  float* data() { return data_; }

 private:
  char* bytes_from(std::size_t byte) { return static_cast<char*>(memory_) + byte; }

  void* memory_ = nullptr;
  std::size_t mapped_ = 0;
  float* data_ = nullptr;
};

void test_project(const KernelTable& kernels, std::int64_t vectors, std::mt19937& rng) {
  const std::int64_t rows = 7, depth = 5, columns = vectors * kernels.lanes;
  const std::int64_t blocks = ceil_div(rows, kernels.block_rows);
  PageEnd w(blocks * (1 + depth) * kernels.block_rows, rng), x(depth * columns, rng);
  PageEnd out(rows * columns, rng);
  kernels.project({w.data(), rows, depth, x.data(), columns, out.data(), columns, vectors});
  const std::int64_t row = rows - 1, block = row / kernels.block_rows;
  const float* own = w.data() + block * (1 + depth) * kernels.block_rows + row % kernels.block_rows;
  double sum = own[0];
  for (std::int64_t k = 0; k < depth; ++k) {
    sum += static_cast<double>(own[(1 + k) * kernels.block_rows]) * x.data()[(k + 1) * columns - 1];
  }
  CHECK(std::abs(sum - out.data()[rows * columns - 1]) < 1e-5);
}

void test_step(const KernelTable& kernels, CellForm form, std::int64_t vectors, std::mt19937& rng) {
  const CellTraits traits = traits_of(form);
  const std::int64_t H = 5, columns = vectors * kernels.lanes;
  const auto packed = [&](GateProduct product) {
    const std::int64_t units = product.count > 0 ? kernels.block_units[product.count] : 1;
    return ceil_div(H, units) * units * product.count * H;
  };
  PageEnd w(packed(traits.of_h), rng), w_late(packed(traits.late), rng), b(H, rng);
  PageEnd p(H * traits.gates * columns, rng), h(H * columns, rng), c(H * columns, rng);
  PageEnd h_out(H * columns, rng), scratch(2 * H * columns, rng);
  std::vector<std::int32_t> first(static_cast<std::size_t>(vectors));
  for (std::size_t v = 0; v < first.size(); ++v) {
    first[v] = static_cast<std::int32_t>(static_cast<std::int64_t>(v) * kernels.lanes);
  }
  StepColumns a{};
  a.w = w.data();
  a.w_late = w_late.data();
  a.b_hh = b.data();
  a.hidden = a.state = H;
  a.vectors = vectors;
  a.p = p.data();
  a.p_stride = a.stride = columns;
  a.p_col = first.data();
  a.h = h.data();
  a.c = c.data();
  a.h_out = h_out.data();
  a.scratch = scratch.data();
  kernels.cells[form].columns(a);
  CHECK(std::all_of(h_out.data(), h_out.data() + H * columns,
                    [](float value) { return value >= -1.5f && value <= 1.5f; }));
}

void test_add_products(const KernelTable& kernels, std::int64_t width, std::mt19937& rng) {
  const std::int64_t rows = kernels.train.product_rows, columns = 5;
  const std::int64_t stride = round_up(width, kernels.lanes);
  PageEnd d(rows * kTrainTile, rng), z(columns * stride, rng), sums(rows * stride, rng);
  const Floats before(sums.data(), sums.data() + rows * stride);
  kernels.train.add_products(
      {d.data(), rows, z.data(), stride, columns, width, sums.data(), stride, nullptr, nullptr});
  const std::int64_t q = width - 1, row = rows - 1;
  double sum = static_cast<double>(before[static_cast<std::size_t>(row * stride + q)]);
  for (std::int64_t n = 0; n < columns; ++n) {
    sum += static_cast<double>(d.data()[row * kTrainTile + n]) * z.data()[n * stride + q];
  }
  CHECK(std::abs(sum - sums.data()[row * stride + q]) < 1e-5);
}

bool all_finite(const float* values, std::int64_t n) {
  return std::all_of(values, values + n, [](float value) { return std::isfinite(value); });
}

// Several rows' errors or their sum (acc_stride 0), of the series or of zeros.
void test_errors(const KernelTable& kernels, std::int64_t vectors, std::mt19937& rng) {
  const std::int64_t rows = 7, columns = vectors * kernels.lanes;
  const std::vector<std::int32_t> truth_row = {0, 1, 2, 2, 1, 0, 2};
  std::vector<std::int32_t> truth_col(static_cast<std::size_t>(vectors));
  for (std::size_t v = 0; v < truth_col.size(); ++v) {
    truth_col[v] = static_cast<std::int32_t>(static_cast<std::int64_t>(v) * kernels.lanes);
  }
  PageEnd pred(rows * columns, rng), truth(3 * columns, rng);
  const float* const last = pred.data() + columns - 1;
  PageEnd slope(rows, rng), intercept(rows, rng);
  const auto calibrated = [&](std::int64_t r, double error) {
    const double value = static_cast<double>(slope.data()[r]) * std::abs(error) +
                         static_cast<double>(intercept.data()[r]);
    return value > 0.0 ? value : 0.0;
  };
  for (const bool series : {false, true}) {
    const auto error = [&](std::int64_t r) {
      const std::int64_t row = truth_row[static_cast<std::size_t>(r)];
      const float value = series ? truth.data()[(row + 1) * columns - 1] : 0.0f;
      return static_cast<double>(last[r * columns]) - static_cast<double>(value);
    };
    PageEnd each(rows * columns, rng), sum(columns, rng);
    ErrorColumns a{pred.data(),      rows,
                   vectors,          series ? truth.data() : nullptr,
                   columns,          truth_row.data(),
                   truth_col.data(), each.data(),
                   columns,          columns,
                   nullptr,          slope.data(),
                   intercept.data()};
    kernels.subtract(a);
    CHECK(std::abs(each.data()[rows * columns - 1] - error(rows - 1)) < 1e-6);
    kernels.add_squared_error(a);
    kernels.add_absolute_error(a);
    const double e = error(rows - 1);
    CHECK(std::abs(each.data()[rows * columns - 1] - (e + e * e + std::abs(e))) < 1e-5);
    const double before = static_cast<double>(each.data()[rows * columns - 1]);
    kernels.add_calibrated_error(a);
    CHECK(std::abs(each.data()[rows * columns - 1] - before - calibrated(rows - 1, e)) < 1e-5);
    double expected = static_cast<double>(sum.data()[columns - 1]);
    for (std::int64_t r = 0; r < rows; ++r) {
      expected += error(r) * error(r) + std::abs(error(r)) + calibrated(r, error(r));
    }
    a.acc = sum.data();
    a.acc_stride = 0;
    kernels.add_squared_error(a);
    kernels.add_absolute_error(a);
    kernels.add_calibrated_error(a);
    CHECK(std::abs(sum.data()[columns - 1] - expected) < 1e-4);
    PageEnd variances(rows * columns, rng);
    a.log_variance = variances.data();
    kernels.add_gaussian_error(a);
    for (std::int64_t r = 0; r < rows; ++r) {
      const double v = static_cast<double>(variances.data()[(r + 1) * columns - 1]);
      expected += v + error(r) * error(r) / std::exp(v);
    }
    CHECK(std::abs(sum.data()[columns - 1] - expected) < 1e-4);
  }
  PageEnd row(rows, rng), numbers(3, rng), variances(rows, rng);
  const ErrorRow a{0.0f,           row.data(),       rows,
                   numbers.data(), truth_row.data(), variances.data(),
                   slope.data(),   intercept.data()};
  CHECK(std::isfinite(kernels.squared_error_row(a)) && kernels.absolute_error_row(a) > 0.0f);
  CHECK(kernels.calibrated_error_row(a) >= 0.0f);
  CHECK(std::isfinite(kernels.gaussian_error_row(a)));
}

// From one buffer to another, and in place.
void test_activate(const KernelTable& kernels, std::int64_t vectors, std::mt19937& rng) {
  const std::int64_t rows = 3, columns = vectors * kernels.lanes;
  PageEnd x(rows * columns, rng), out(rows * columns, rng);
  for (const auto& [name, activation] : head_activations_by_name()) {
    kernels.activate({x.data(), out.data(), columns, rows, vectors, activation, 0.5f});
    kernels.activate({x.data(), x.data(), columns, rows, vectors, activation, 0.5f});
    CHECK(std::equal(x.data(), x.data() + rows * columns, out.data()));
  }
}

// One window, lanes are units: the products, with weights of both sizes, and both halves of a step.
void test_row(const KernelTable& kernels, CellForm form, std::int64_t H, std::mt19937& rng) {
  const CellTraits traits = traits_of(form);
  const std::int64_t panels = ceil_div(H, kernels.lanes), padded = panels * kernels.lanes;
  for (std::int64_t gates = 1; gates <= kMaxGates; ++gates) {
    PageEnd w(padded * (1 + H) * gates, rng), x(H, rng), out(padded * gates, rng);
    PageEnd halves(padded * H * ((gates + 1) / 2), rng);
    std::fill_n(halves.data(), padded * H * ((gates + 1) / 2), 0.5f);
    for (const bool half : {false, true}) {
      kernels.project_row(
          {w.data(), panels, H, gates, x.data(), out.data(), half ? halves.data() : nullptr});
      CHECK(all_finite(out.data(), padded * gates));
    }
  }
  PageEnd sums(padded * traits.of_h.count, rng), late(padded * traits.late.count, rng);
  PageEnd p(padded * traits.gates, rng), b(padded, rng), h(H, rng), c(H, rng), h_out(H, rng);
  PageEnd scratch(padded, rng);
  CellRow a{};
  a.hidden = H;
  a.sums = sums.data();
  a.p = p.data();
  a.b_hh = b.data();
  a.h = h.data();
  a.c = c.data();
  a.h_out = h_out.data();
  a.scratch = scratch.data();
  const CellKernels& cell = kernels.cells[form];
  if (cell.first_row) {
    cell.first_row(a);
    a.sums = late.data();
  }
  cell.row(a);
  CHECK(all_finite(h_out.data(), H) && all_finite(c.data(), H));
}

// A step of training and back.
void test_training(const KernelTable& kernels, CellForm form, std::mt19937& rng) {
  const TrainCellKernels& cell = kernels.train.cells[form];
  if (!cell.forward) return;
  const CellTraits traits = traits_of(form);
  const std::int64_t H = 5, I = 3, units = kernels.train.block_units, G = traits.tile_gates;
  const std::int64_t depth = traits.recurrent.count * H, rows = kernels.block_rows;
  PageEnd w(ceil_div(H, units) * units * (G + traits.input.count * I + depth), rng);
  PageEnd x(I * kTrainTile, rng), h(H * kTrainTile, rng), c(H * kTrainTile, rng);
  PageEnd gates(G * H * kTrainTile, rng), c_out(H * kTrainTile, rng), h_out(H * kTrainTile, rng);
  const std::int64_t vectors = kTrainTile / kernels.lanes;
  TrainStep forward{};
  forward.w = w.data();
  forward.hidden = H;
  forward.input = I;
  forward.vectors = vectors;
  forward.x = x.data();
  forward.h = h.data();
  forward.c = c.data();
  forward.gates = gates.data();
  forward.c_out = c_out.data();
  forward.h_out = h_out.data();
  cell.forward(forward);
  CHECK(all_finite(h_out.data(), H * kTrainTile) && all_finite(gates.data(), G * H * kTrainTile));

  PageEnd transposed(ceil_div(H, rows) * rows * (1 + depth), rng);
  PageEnd d_next(G * H * kTrainTile, rng), d_out(H * kTrainTile, rng);
  PageEnd d_state(H * kTrainTile, rng), d_gates(G * H * kTrainTile, rng);
  BackwardStep back{};
  back.w = transposed.data();
  back.hidden = H;
  back.vectors = vectors;
  back.gates = gates.data();
  back.h = h_out.data();
  back.h_before = h.data();
  back.c_before = c.data();
  back.d_next = d_next.data();
  back.d_out = d_out.data();
  back.d_state = d_state.data();
  back.d_gates = d_gates.data();
  cell.backward(back);
  CHECK(all_finite(d_gates.data(), G * H * kTrainTile));
  CHECK(all_finite(d_state.data(), H * kTrainTile));
}

void test_transpose(const KernelTable& kernels, std::int64_t rows, std::int64_t columns,
                    std::mt19937& rng) {
  PageEnd in(rows * columns, rng), out(columns * rows, rng);
  kernels.train.transpose({in.data(), rows, columns, columns, out.data(), rows});
  bool same = true;
  for (std::int64_t r = 0; r < rows; ++r) {
    for (std::int64_t c = 0; c < columns; ++c) {
      same = same && out.data()[c * rows + r] == in.data()[r * columns + c];
    }
  }
  CHECK(same);
}

}  // namespace

int main() {
  for (const std::string& isa : available_isas()) {
    const KernelTable& kernels = kernels_named(isa);
    std::mt19937 rng(1);
    for (std::int64_t vectors = 1; vectors <= 2 * kernels.vector_step + 1; ++vectors) {
      test_project(kernels, vectors, rng);
      test_errors(kernels, vectors, rng);
      test_activate(kernels, vectors, rng);
      for (std::size_t form = 0; form < kCellForms; ++form) {
        test_step(kernels, static_cast<CellForm>(form), vectors, rng);
      }
    }
    for (std::size_t i = 0; i < kCellForms; ++i) {
      const auto form = static_cast<CellForm>(i);
      test_training(kernels, form, rng);
      for (const std::int64_t H : {std::int64_t{1}, kernels.lanes, 4 * kernels.lanes + 1}) {
        test_row(kernels, form, H, rng);
      }
    }
    for (std::int64_t size = 1; size <= 2 * kernels.lanes + 1; ++size) {
      test_transpose(kernels, size, 2 * kernels.lanes + 2 - size, rng);
    }
    for (std::int64_t width = 1; width <= 3 * kernels.lanes + 1; ++width) {
      test_add_products(kernels, width, rng);
    }
  }
  return test::result();
}
