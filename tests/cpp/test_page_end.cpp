// What a kernel reads ends where its arguments say: each one lies before memory that may not be
// read. Compilers that vectorise plain loops have loaded a row more.
#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
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

}  // namespace

int main() {
  for (const std::string& isa : available_isas()) {
    const KernelTable& kernels = kernels_named(isa);
    std::mt19937 rng(1);
    for (std::int64_t vectors = 1; vectors <= 2 * kernels.vector_step + 1; ++vectors) {
      test_project(kernels, vectors, rng);
      for (std::size_t form = 0; form < kCellForms; ++form) {
        test_step(kernels, static_cast<CellForm>(form), vectors, rng);
      }
    }
    for (std::int64_t width = 1; width <= 3 * kernels.lanes + 1; ++width) {
      test_add_products(kernels, width, rng);
    }
  }
  return test::result();
}
