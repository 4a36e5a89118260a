// 8-bit products: equal sums on all instruction sets, and steps against float64.
#include <algorithm>
#include <cmath>
#include <cstdint>
#include <limits>
#include <random>
#include <string>
#include <vector>

#include "cpu/active_kernels.h"
#include "kernels/low_table.h"
#include "layers/columns.h"
#include "layers/layer_row.h"
#include "low_tiles_emulated.h"
#include "models.h"
#include "slidecell/cpu.hpp"
#include "test.h"
#include "weights/pack_codes.h"

namespace slidecell {
#if defined(__x86_64__)
const KernelTable& kernels_avx512();
#elif defined(__aarch64__)
const KernelTable& kernels_neon();
#endif
}  // namespace slidecell

namespace {

using namespace slidecell;
using test::Floats;

#ifdef SLIDECELL_TEST_EMULATED_LOW_TILES
// AVX-512 with emulated tiles.
const KernelTable& emulated() {
  static const KernelTable table = [] {
    KernelTable kernels = kernels_named("avx512");
    kernels.isa = "avx512 and tiles";
    kernels.low_tiles = &test::low_tiles_emulated();
    return kernels;
  }();
  return table;
}
#endif

// Those of every ISA here, and those that better instructions of this CPU replace.
std::vector<const KernelTable*> tables() {
  std::vector<const KernelTable*> all;
  for (const std::string& isa : available_isas()) {
    all.push_back(&kernels_named(isa));
#if defined(__x86_64__)
    if (isa == "avx512") all.push_back(&kernels_avx512());
#ifdef SLIDECELL_TEST_EMULATED_LOW_TILES
    if (isa == "avx512") all.push_back(&emulated());
#endif
#elif defined(__aarch64__)
    if (isa == "neon") all.push_back(&kernels_neon());
#endif
  }
  return all;
}

Floats random_floats(std::int64_t size, double bound, std::mt19937& rng) {
  return test::detail::random_tensor({size}, bound, rng).data;
}

// As low_table.h says, in other words.
std::int64_t code_of_h(float h) {
  if (std::isnan(h)) return -127;
  return static_cast<std::int64_t>(
      std::nearbyint(127.0 * std::clamp(static_cast<double>(h), -1.0, 1.0)));
}

struct CodedWeights {
  std::vector<std::int64_t> codes;
  std::vector<double> step;  // of each row
};
CodedWeights coded(const float* w, std::int64_t rows, std::int64_t depth) {
  CodedWeights all;
  for (std::int64_t r = 0; r < rows; ++r) {
    double largest = 0.0;
    for (std::int64_t k = 0; k < depth; ++k) {
      largest = std::max(largest, std::fabs(static_cast<double>(w[r * depth + k])));
    }
    all.step.push_back(largest / 127.0);
    for (std::int64_t k = 0; k < depth; ++k) {
      all.codes.push_back(largest == 0.0
                              ? 0
                              : static_cast<std::int64_t>(std::nearbyint(
                                    static_cast<double>(w[r * depth + k]) / (largest / 127.0))));
    }
  }
  return all;
}

// Tiles are configured for the length of a run.
struct Configured {
  explicit Configured(const LowKernels& kernels) : low(kernels) {
    if (low.begin_tiles) low.begin_tiles(before);
  }
  ~Configured() {
    if (low.end_tiles) low.end_tiles(before);
  }
  const LowKernels& low;
  TileConfig before{};
};

// Of columns: whole numbers [rows][stride]. h [depth][columns].
AlignedBuffer<std::int32_t> column_sums(const KernelTable& kernels, const LowKernels& low,
                                        std::int64_t rows, std::int64_t depth, const Floats& w,
                                        const Floats& h, std::int64_t columns,
                                        std::int64_t vectors) {
  const std::int64_t stride = vectors * kernels.lanes;
  AlignedFloats x(depth * stride);
  AlignedFloats codes(round_up(round_up(depth, 4) / low.per_word, low.chunk) * stride);
  // Codes beyond the last meet no weight: whatever stands there.
  std::fill_n(codes.data(), codes.size(), -1.5f);
  for (std::int64_t k = 0; k < depth; ++k) {
    std::copy_n(h.data() + k * columns, columns, x.data() + k * stride);
  }
  AlignedBuffer<std::int32_t> out(rows * stride);
  const PackedCodes packed = pack_codes_columns(low, rows, depth, w.data());
  const Configured tiles(low);
  low.sums({packed.view(), rows, depth, vectors, x.data(), codes.data(), out.data(), stride});
  return out;
}

// Sums of both orientations, which must be these whole numbers. h [depth][columns].
void check_sums(const KernelTable& kernels, std::int64_t rows, std::int64_t depth, const Floats& w,
                const Floats& h, std::int64_t columns) {
  const LowKernels& low = *kernels.low;
  const CodedWeights expected = coded(w.data(), rows, depth);
  const auto sum_of = [&](std::int64_t r, std::int64_t column) {
    std::int64_t sum = 0;
    for (std::int64_t k = 0; k < depth; ++k) {
      sum += expected.codes[static_cast<std::size_t>(r * depth + k)] *
             code_of_h(h[static_cast<std::size_t>(k * columns + column)]);
    }
    return sum;
  };
  const std::int64_t vectors = ceil_div(columns, kernels.lanes), stride = vectors * kernels.lanes;
  const std::int64_t words = round_up(depth, 4) / low.per_word;
  std::int64_t wrong = 0;
  for (const LowKernels* of_columns : {kernels.low, kernels.low_tiles}) {
    if (!of_columns) continue;
    const auto out = column_sums(kernels, *of_columns, rows, depth, w, h, columns, vectors);
    for (std::int64_t r = 0; r < rows; ++r) {
      for (std::int64_t column = 0; column < columns; ++column) {
        wrong += out.data()[r * stride + column] != sum_of(r, column);
      }
    }
  }
  const PackedCodes by_row = pack_codes_row(kernels, rows, depth, w.data());
  AlignedFloats row_codes(words), row_out(round_up(rows, kernels.lanes));
  for (std::int64_t column = 0; column < columns; ++column) {
    Floats own;
    for (std::int64_t k = 0; k < depth; ++k) {
      own.push_back(h[static_cast<std::size_t>(k * columns + column)]);
    }
    low.code_row(own.data(), depth, row_codes.data());
    low.project_row(
        {by_row.view(), ceil_div(rows, kernels.lanes), words, 1, row_codes.data(), row_out.data()});
    for (std::int64_t r = 0; r < rows; ++r) {
      wrong += row_out.data()[r] != static_cast<float>(sum_of(r, column));
    }
  }
  if (wrong != 0) {
    test::report(__FILE__, __LINE__,
                 std::string(kernels.isa) + " " + low.name + " rows=" + std::to_string(rows) +
                     " depth=" + std::to_string(depth) + ": " + std::to_string(wrong) +
                     " wrong sums");
  }
}

void test_sums(const KernelTable& kernels, std::mt19937& rng) {
  for (const std::int64_t depth : {1, 2, 3, 4, 5, 31, 64, 130}) {
    for (const std::int64_t rows : {1, 7, 8, 25, 33}) {
      const std::int64_t columns = 50;  // an odd number of vectors where these have 16 lanes
      Floats w = random_floats(rows * depth, 0.7, rng),
             h = random_floats(depth * columns, 1.0, rng);
      w[0] = 0.0f;
      // Halves between two codes, beyond the range, and what is no number.
      const float awkward[] = {0.5f / 127,    1.5f / 127,
                               -0.5f / 127,   -2.5f / 127,
                               1.0f,          -1.0f,
                               1.0001f,       -1.5f,
                               1e30f,         -1e30f,
                               -0.0f,         1e-40f,
                               std::nanf(""), -std::numeric_limits<float>::infinity()};
      for (std::size_t i = 0; i < std::size(awkward); ++i) h[i % h.size()] = awkward[i];
      check_sums(kernels, rows, depth, w, h, columns);
    }
  }
  // The largest sums: of 2^17 products of the largest codes, and one below.
  for (const std::int64_t depth : {kMaxLowSize, kMaxLowSize - 1}) {
    for (const float sign : {1.0f, -1.0f}) {
      const auto size = static_cast<std::size_t>(depth);
      check_sums(kernels, 1, depth, Floats(size, 0.25f), Floats(size, sign), 1);
    }
  }
  // Where sums of two or four products would overflow 16 bits, were bytes taken for them.
  for (const float sign : {1.0f, -1.0f}) {
    check_sums(kernels, 8, 8, Floats(64, sign), Floats(8 * 16, 1.0f), 16);
  }
}

double sigmoid(double x) { return 1.0 / (1.0 + std::exp(-x)); }
double hard_sigmoid(double x) { return std::clamp(x / 6.0 + 0.5, 0.0, 1.0); }

struct State {
  std::vector<double> h, c;
};

// To 8 significant bits, to the nearest, even where two are as near.
double rounded_to_8_bits(double value) {
  int exponent = 0;
  const double fraction = std::frexp(value, &exponent);
  return std::ldexp(std::nearbyint(std::ldexp(fraction, 8)), exponent - 8);
}

// A weight of the input as the kernels have it: rounded as it is stored, which is scaled by log2(e)
// or twice that where activations begin with 2^x.
double input_weight(const LayerSpec& spec, std::int64_t gate, float weight) {
  if (spec.activation != Activation::tanh) return rounded_to_8_bits(static_cast<double>(weight));
  const bool candidate = gate == (spec.cell == Cell::rnn ? 0 : 2);
  const double scale = (candidate ? 2.0 : 1.0) / std::log(2.0);
  return rounded_to_8_bits(
             static_cast<double>(static_cast<float>(static_cast<double>(weight) * scale))) /
         scale;
}

// One step of one window in float64, whose recurrent products are of codes.
State reference_step(const LayerSpec& spec, const DirectionWeights& w, const Floats& x,
                     const Floats& h, const Floats& c) {
  const std::int64_t H = spec.hidden_size, I = spec.input_size;
  const CodedWeights codes = coded(w.w_hh.data(), spec.gates() * H, H);
  const auto input = [&](std::int64_t r) {
    double sum = static_cast<double>(w.b_ih[static_cast<std::size_t>(r)]);
    for (std::int64_t i = 0; i < I; ++i) {
      sum += input_weight(spec, r / H, w.w_ih[static_cast<std::size_t>(r * I + i)]) *
             static_cast<double>(x[static_cast<std::size_t>(i)]);
    }
    return sum;
  };
  const auto product = [&](std::int64_t r, const Floats& of) {
    std::int64_t sum = 0;
    for (std::int64_t k = 0; k < H; ++k) {
      sum += codes.codes[static_cast<std::size_t>(r * H + k)] *
             code_of_h(of[static_cast<std::size_t>(k)]);
    }
    return static_cast<double>(sum) * codes.step[static_cast<std::size_t>(r)] / 127.0 +
           static_cast<double>(w.b_hh[static_cast<std::size_t>(r)]);
  };
  const auto gate = [&](double z) {
    return spec.recurrent_activation == RecurrentActivation::sigmoid ? sigmoid(z) : hard_sigmoid(z);
  };
  const auto act = [&](double z) {
    return spec.activation == Activation::tanh ? std::tanh(z) : sigmoid(z);
  };
  State out{std::vector<double>(static_cast<std::size_t>(H)), {}};
  Floats reset(h);
  for (std::int64_t j = 0; j < H && spec.cell == Cell::gru && !spec.reset_after; ++j) {
    const auto u = static_cast<std::size_t>(j);
    reset[u] = static_cast<float>(gate(input(j) + product(j, h)) * static_cast<double>(h[u]));
  }
  for (std::int64_t j = 0; j < H; ++j) {
    const auto u = static_cast<std::size_t>(j);
    const auto sum = [&](std::int64_t g) { return input(g * H + j) + product(g * H + j, h); };
    const double before = static_cast<double>(h[u]);
    switch (spec.cell) {
      case Cell::lstm:
        out.c.push_back(gate(sum(1)) * static_cast<double>(c[u]) + gate(sum(0)) * act(sum(2)));
        out.h[u] = gate(sum(3)) * act(out.c[u]);
        break;
      case Cell::gru: {
        const double z = gate(sum(1));
        const double n = spec.reset_after
                             ? act(input(2 * H + j) + gate(sum(0)) * product(2 * H + j, h))
                             : act(input(2 * H + j) + product(2 * H + j, reset));
        out.h[u] = (1.0 - z) * n + z * before;
        break;
      }
      case Cell::rnn:
        out.h[u] = act(sum(0));
        break;
    }
  }
  return out;
}

// A step from given states: columns against float64, and the row orientation bit for bit.
void check_step(const KernelTable& kernels, const LayerSpec& spec, Products products, double bound,
                std::mt19937& rng) {
  const std::int64_t H = spec.hidden_size, I = spec.input_size, G = spec.gates();
  const Floats w_ih = random_floats(G * H * I, 0.8, rng), w_hh = random_floats(G * H * H, 0.5, rng);
  const Floats b_ih = random_floats(G * H, 0.5, rng), b_hh = random_floats(G * H, 0.5, rng);
  const DirectionWeights weights{w_ih, w_hh, b_ih, b_hh, {}};
  const PackedDirection packed = pack_low_direction(kernels, spec, weights, products);
  const PackedDirection packed_row = pack_low_direction(
      kernels, spec, weights, is_coarse(products) ? Products::coarse_codes : Products::codes);
  const Configured tiles(low_kernels(kernels, products));
  const std::int64_t vectors = 5, stride = vectors * kernels.lanes;
  AlignedFloats x(I * stride), p(G * H * stride);
  std::copy_n(random_floats(I * stride, 1.0, rng).data(), I * stride, x.data());
  project_columns(kernels, packed.input, x.data(), stride, p.data(), stride, vectors);
  const std::vector<std::int32_t> col = adjacent_columns(kernels, vectors);

  AlignedFloats scratch(LayerRow::scratch_size(kernels, spec));
  LayerRow row(kernels, spec, packed_row, scratch.data());
  for (const bool started : {false, true}) {
    LayerColumns columns(kernels, spec, packed, stride);
    Floats h(static_cast<std::size_t>(H * stride)), c(h);
    if (started) {
      h = random_floats(H * stride, 1.0, rng);
      c = random_floats(H * stride, 2.0, rng);
      std::copy(h.begin(), h.end(), columns.h());
      if (spec.has_c()) std::copy(c.begin(), c.end(), columns.c());
      columns.resume();
    }
    columns.step({p.data(), stride, col.data()}, vectors);
    double worst = 0.0;
    bool same = true;
    for (std::int64_t column = 0; column < stride; ++column) {
      const auto of = [&](const float* values, std::int64_t size) {
        Floats own;
        for (std::int64_t j = 0; j < size; ++j) own.push_back(values[j * stride + column]);
        return own;
      };
      const Floats own_x = of(x.data(), I), own_h = of(h.data(), H), own_c = of(c.data(), H);
      const State expected = reference_step(spec, weights, own_x, own_h, own_c);
      Floats row_h(own_h), row_c(own_c);
      row.step(own_x.data(), started ? row_h.data() : nullptr, row_c.data(), row_h.data());
      const Floats got = of(columns.h(), H);
      for (std::int64_t j = 0; j < H; ++j) {
        const auto u = static_cast<std::size_t>(j);
        worst = std::max(worst, std::fabs(static_cast<double>(got[u]) - expected.h[u]));
        if (std::isnan(got[u])) worst = std::numeric_limits<double>::infinity();
        same = same && test::same(got[u], row_h[u]);
        if (!spec.has_c()) continue;
        const float own = columns.c()[j * stride + column];
        worst = std::max(worst, std::fabs(static_cast<double>(own) - expected.c[u]));
        same = same && test::same(own, row_c[u]);
      }
    }
    if (!(worst <= bound) || !same) {
      test::report(__FILE__, __LINE__,
                   std::string(kernels.isa) + " " + low_kernels(kernels, products).name + " H=" +
                       std::to_string(H) + " cell=" + std::to_string(static_cast<int>(spec.cell)) +
                       (spec.reset_after ? "" : " reset before") +
                       " activation=" + std::to_string(static_cast<int>(spec.activation)) +
                       (started ? " started" : "") + ": error " + std::to_string(worst * 1e6) +
                       "e-6" + (same ? "" : ", the row differs"));
    }
  }
}

bool has_tables(const KernelTable& kernels) { return kernels.lanes == 16; }

void test_steps(const KernelTable& kernels, std::mt19937& rng) {
  for (const Cell cell : {Cell::lstm, Cell::gru, Cell::rnn}) {
    for (const bool reset_after : {true, false}) {
      if (!reset_after && cell != Cell::gru) continue;
      for (const std::int64_t H : {1, 2, 3, 4, 6, 17, 40, 67}) {
        for (const bool usual : {true, false}) {
          LayerSpec spec;
          spec.cell = cell;
          spec.reset_after = reset_after;
          spec.input_size = 3;
          spec.hidden_size = H;
          if (!usual) {
            spec.activation = Activation::sigmoid;
            spec.recurrent_activation = RecurrentActivation::hard_sigmoid;
          }
          const bool tables = has_tables(kernels) && usual;
          // r h is coded too, and what errs a little may take the next code: a 1 / 127 of a weight.
          const double late = reset_after ? 0.0 : (tables ? 8e-3 : 5e-3);
          const double fine = late + (tables ? 8e-4 : 1e-6),
                       coarse = late + (tables ? 1.2e-3 : 1e-6);
          check_step(kernels, spec, Products::codes, fine, rng);
          check_step(kernels, spec, Products::coarse_codes, coarse, rng);
          if (!kernels.low_tiles || !usual) continue;
          check_step(kernels, spec, Products::tile_codes, fine, rng);
          check_step(kernels, spec, Products::coarse_tile_codes, coarse, rng);
        }
      }
    }
  }
}

// f and z alone, which add up over a window: an LSTM whose c is f, a GRU whose h is z.
void test_memory_gates(const KernelTable& kernels) {
  constexpr double kLog2e = 1.4426950408889634;
  for (const Cell cell : {Cell::lstm, Cell::gru}) {
    for (const Products products : {Products::codes, Products::coarse_codes}) {
      LayerSpec spec;
      spec.cell = cell;
      spec.input_size = spec.hidden_size = 1;
      const std::int64_t G = spec.gates();
      const Floats zeros(static_cast<std::size_t>(G), 0.0f);
      const PackedDirection packed =
          pack_low_direction(kernels, spec, {zeros, zeros, zeros, zeros, {}}, products);
      const std::int64_t stride = kernels.lanes;
      const std::int32_t col = 0;
      AlignedFloats p(G * stride);
      LayerColumns columns(kernels, spec, packed, stride);
      double worst = 0.0;
      for (int i = -3000; i <= 3000; ++i) {
        const double x = i * 1e-2;
        std::fill_n(p.data() + stride, stride, static_cast<float>(-kLog2e * x));
        for (std::int64_t l = 0; l < stride; ++l) {
          columns.h()[l] = 1.0f;
          if (spec.has_c()) columns.c()[l] = 1.0f;
        }
        columns.resume();
        columns.step({p.data(), stride, &col}, 1);
        const float got = spec.has_c() ? columns.c()[0] : columns.h()[0];
        worst = std::max(worst, std::fabs(static_cast<double>(got) - sigmoid(x)));
      }
      CHECK(worst <= (products == Products::coarse_codes ? kCoarseError : 5e-7));
    }
  }
}

void test_which_layers_are_served() {
  LayerSpec spec;
  spec.input_size = 1;
  spec.hidden_size = kMaxLowSize;
  for (const Activation activation : {Activation::tanh, Activation::sigmoid}) {
    spec.activation = activation;
    CHECK(serves_low(spec));
    spec.bidirectional = !spec.bidirectional;
  }
  for (const Activation activation : {Activation::relu, Activation::linear}) {
    spec.activation = activation;
    CHECK(!serves_low(spec));
  }
  spec.activation = Activation::tanh;
  spec.proj_size = 3;
  CHECK(!serves_low(spec));
  spec.proj_size = 0;
  spec.hidden_size = kMaxLowSize + 1;
  CHECK(!serves_low(spec));
}

}  // namespace

int main() {
  static_assert(kCoarseError * kCoarseSteps <= 0.005, "what gates may add up to in a window");
  test_which_layers_are_served();
  std::mt19937 rng(11);
  for (const KernelTable* kernels : tables()) {
    test_sums(*kernels, rng);
    test_steps(*kernels, rng);
    test_memory_gates(*kernels);
  }
  return slidecell::test::result();
}
