// What live code needs: push, advance, predict_next, reset and Recurrent::step allocate nothing and
// take no lock once built, throw nothing, leave the caller's floating-point mode alone, and never
// hold a denormal number.
#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SLIDECELL_TEST_SANITIZED 1
#elif defined(__has_feature)
#if __has_feature(address_sanitizer) || __has_feature(thread_sanitizer)
#define SLIDECELL_TEST_SANITIZED 1
#endif
#endif

#include <cstdlib>  // defines __GLIBC__

#if defined(__GLIBC__) && !defined(SLIDECELL_TEST_SANITIZED)
#include <dlfcn.h>
#include <pthread.h>
#if defined(__x86_64__)
#include <immintrin.h>
#endif

#include <algorithm>
#include <cerrno>
#include <cmath>
#include <cstddef>
#include <cstdint>
#include <cstdio>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <mutex>
#include <new>
#include <random>
#include <string>
#include <type_traits>
#include <utility>
#include <vector>

#include "models.h"
#include "slidecell/cpu.hpp"
#include "slidecell/recurrent.hpp"
#include "slidecell/stream.hpp"
#include "test.h"

namespace {

// Of this thread while `counting`. volatile: a compiler knows that the C library's malloc changes
// none of them.
thread_local volatile bool counting = false;
thread_local volatile int allocations = 0, locks = 0;

void* note_allocation(void* p) {
  if (counting) allocations = allocations + 1;
  return p;
}

template <class Function>
Function* next_definition(const char* name) {
  return reinterpret_cast<Function*>(dlsym(RTLD_NEXT, name));
}

}  // namespace

// The program's definitions come before the C library's, also for calls from libstdc++ (operator
// new ends here too), if they are visible to it.
#pragma GCC visibility push(default)
extern "C" {
void* __libc_malloc(std::size_t);
void* __libc_calloc(std::size_t, std::size_t);
void* __libc_realloc(void*, std::size_t);
void* __libc_memalign(std::size_t, std::size_t);

void* malloc(std::size_t size) { return note_allocation(__libc_malloc(size)); }
void* calloc(std::size_t n, std::size_t size) { return note_allocation(__libc_calloc(n, size)); }
void* realloc(void* p, std::size_t size) { return note_allocation(__libc_realloc(p, size)); }
void* aligned_alloc(std::size_t alignment, std::size_t size) {
  return note_allocation(__libc_memalign(alignment, size));
}
void* memalign(std::size_t alignment, std::size_t size) {
  return note_allocation(__libc_memalign(alignment, size));
}
int posix_memalign(void** p, std::size_t alignment, std::size_t size) {
  *p = note_allocation(__libc_memalign(alignment, size));
  return *p ? 0 : ENOMEM;
}

int pthread_mutex_lock(pthread_mutex_t* mutex) {
  static auto* const lock = next_definition<int(pthread_mutex_t*)>("pthread_mutex_lock");
  if (counting) locks = locks + 1;
  return lock(mutex);
}
int pthread_rwlock_rdlock(pthread_rwlock_t* mutex) {
  static auto* const lock = next_definition<int(pthread_rwlock_t*)>("pthread_rwlock_rdlock");
  if (counting) locks = locks + 1;
  return lock(mutex);
}
int pthread_rwlock_wrlock(pthread_rwlock_t* mutex) {
  static auto* const lock = next_definition<int(pthread_rwlock_t*)>("pthread_rwlock_wrlock");
  if (counting) locks = locks + 1;
  return lock(mutex);
}
}
#pragma GCC visibility pop

namespace {

using namespace slidecell;
using test::Floats;
using test::ModelSpec;
using test::same;

struct Counts {
  int allocations, locks;
};
template <class Call>
Counts counted(Call call) {
  allocations = 0;
  locks = 0;
  counting = true;
  call();
  counting = false;
  return {allocations, locks};
}
// True if `call` neither allocates nor locks.
template <class Call>
bool quiet(Call call) {
  const Counts counts = counted(call);
  return counts.allocations == 0 && counts.locks == 0;
}

// The floating-point control and status of this thread, and its flush-to-zero mode.
#if defined(__x86_64__)
std::uint64_t float_mode() { return _mm_getcsr(); }
void set_float_mode(std::uint64_t mode) { _mm_setcsr(static_cast<unsigned>(mode)); }
constexpr std::uint64_t kFlush = 0x8040;
#elif defined(__aarch64__)
std::uint64_t float_mode() {
  std::uint64_t mode;
  __asm__ volatile("mrs %0, fpcr" : "=r"(mode));
  return mode;
}
void set_float_mode(std::uint64_t mode) { __asm__ volatile("msr fpcr, %0" ::"r"(mode)); }
constexpr std::uint64_t kFlush = std::uint64_t{1} << 24;
#else
std::uint64_t float_mode() { return 0; }
void set_float_mode(std::uint64_t) {}
constexpr std::uint64_t kFlush = 0;
#endif

template <class S>
constexpr bool live_calls_are_noexcept() {
  using std::declval;
  return noexcept(declval<S&>().push(0, declval<const float*>(), declval<float&>())) &&
         noexcept(declval<S&>().push(0, declval<const double*>(), declval<float&>())) &&
         noexcept(declval<S&>().advance()) && noexcept(declval<S&>().reset(0)) &&
         noexcept(declval<const S&>().predict_next(0, declval<float*>())) &&
         noexcept(declval<const S&>().rows_seen(0));
}
static_assert(live_calls_are_noexcept<Stream>());
static_assert(std::is_nothrow_move_constructible_v<Stream>);
static_assert(std::is_nothrow_move_assignable_v<Stream>);

// A count of zero must not come from counters that see nothing.
void test_counters() {
  std::mutex mutex;
  const Counts counts = counted([&] {
    const std::lock_guard<std::mutex> guard(mutex);
    // volatile: a compiler may leave out what nobody sees.
    void* volatile p = ::operator new(64);
    ::operator delete(p);
    p = std::aligned_alloc(64, 64);
    std::free(p);
  });
  CHECK(counts.allocations == 2);
  CHECK(counts.locks == 1);
}

LayerSpec layer(Cell cell, std::int64_t hidden_size, bool bidirectional = false) {
  LayerSpec s;
  s.cell = cell;
  s.input_size = 3;
  s.hidden_size = hidden_size;
  s.bidirectional = bidirectional;
  return s;
}

// Every kind of layer and of head, alone and stacked; bidirectional stacks of sizes that grow and
// shrink, because their buffers are shared by the layers.
std::vector<ModelSpec> all_kinds() {
  LayerSpec projected = layer(Cell::lstm, 9);
  projected.proj_size = 4;
  LayerSpec before = layer(Cell::gru, 9);
  before.reset_after = false;
  const LayerSpec lstm = layer(Cell::lstm, 17), gru = layer(Cell::gru, 8);
  const LayerSpec both = layer(Cell::lstm, 5, true), wide = layer(Cell::gru, 33, true);
  const std::vector<std::vector<LayerSpec>> stacks = {
      {lstm}, {gru},        {before},           {projected},        {lstm, before, projected},
      {both}, {both, wide}, {wide, both, both}, {both, wide, lstm}, {wide, lstm, both}};
  std::vector<ModelSpec> specs;
  for (const auto& stack : stacks) {
    for (const std::int64_t horizon : {0, 1, 3}) {
      ModelSpec spec;
      spec.window = 6;
      spec.horizon = horizon;
      spec.encoder = stack;
      if (horizon == 0) spec.decoder = stack;
      spec.center = {0.0, 1.0, 2.0};
      spec.scale = {1.0, 2.0, 3.0};
      spec.error = true;
      specs.push_back(spec);
      if (stack.size() > 1) continue;
      spec.head = {{0, "tanh"}, {17, "gelu"}, {9, "leaky_relu", 0.1}, {test::kAllRows}};
      spec.gaussian = horizon > 0;
      specs.push_back(spec);
    }
  }
  return specs;
}

// From the very first push on: nothing is left to be allocated then.
void push_quietly(const SequenceModel& model, std::int64_t entities, const StreamOptions& options) {
  const Floats row = {0.1f, 0.2f, 0.3f};
  const std::vector<double> row64 = {0.1, 0.2, 0.3};
  Stream stream(model, entities, options);
  stream.set_background(entities == 2);
  Floats ahead(static_cast<std::size_t>(3 * model.horizon()));
  const auto push = [&](std::int64_t n) {
    float score = 0.0f;
    const std::int64_t entity = n % 2 == 0 ? 0 : entities - 1;
    stream.push(entity, row.data(), score);
    stream.push(entity, row64.data(), score);
    if (n % 3 == 0) stream.advance();
    stream.predict_next(entity, ahead.data());
    if (n == 10) stream.reset(entity);
  };
  CHECK(quiet([&] {
    for (std::int64_t n = 0; n < 64; ++n) push(n);
  }));
}

void test_stream_is_quiet(std::mt19937& rng) {
  for (const ModelSpec& spec : all_kinds()) {
    const SequenceModel model = test::random_model(spec, rng);
    for (const std::int64_t entities : {1, 2, 110}) {
      StreamOptions options;
      options.reduction = entities == 2                               ? Reduction::mae
                          : entities == 110 && test::calibrated(spec) ? Reduction::calibrated
                                                                      : Reduction::mahalanobis;
      if (spec.gaussian && entities != 1) options.reduction = Reduction::nll;
      push_quietly(model, entities, options);
      const bool forward = std::none_of(spec.encoder.begin(), spec.encoder.end(),
                                        [](const LayerSpec& s) { return s.bidirectional; });
      options.mode = Windows::carried;  // blocks of 29 rows
      if (forward && spec.horizon > 0) push_quietly(model, entities, options);
    }
  }
}

struct Layers {
  std::vector<LayerSpec> specs;
  std::vector<Floats> data;
  Layers(std::vector<LayerSpec> specs_, double gain, bool bias, std::mt19937& rng)
      : specs(std::move(specs_)) {
    for (std::size_t l = 0; l < specs.size(); ++l) {
      LayerSpec& s = specs[l];
      if (l > 0) s.input_size = specs[l - 1].output_size();
      const double bound = gain / std::sqrt(static_cast<double>(s.hidden_size));
      const std::int64_t rows = s.gates() * s.hidden_size;
      for (const std::int64_t size : {rows * s.input_size, rows * s.state_size(), bias ? rows : 0,
                                      s.proj_size * s.hidden_size}) {
        data.push_back(test::detail::random_tensor({size}, bound, rng).data);
      }
    }
  }
  Recurrent build() const {
    std::vector<LayerWeights> weights(specs.size());
    for (std::size_t l = 0; l < specs.size(); ++l) {
      const Floats* d = &data[4 * l];
      weights[l].forward = {d[0], d[1], d[2], d[2], d[3]};
    }
    return {specs, weights};
  }
};

// Recurrent stacks of one cell, each variant.
std::vector<std::vector<LayerSpec>> step_stacks() {
  LayerSpec projected = layer(Cell::lstm, 17), before = layer(Cell::gru, 17);
  projected.proj_size = 5;
  before.reset_after = false;
  std::vector<std::vector<LayerSpec>> stacks;
  for (const LayerSpec& s : {layer(Cell::lstm, 17), projected, layer(Cell::gru, 17), before}) {
    stacks.push_back({s, s});
  }
  return stacks;
}

// After one call with as many rows.
void test_step_is_quiet(std::mt19937& rng) {
  for (const auto& specs : step_stacks()) {
    const Layers layers(specs, 1.0, true, rng);
    const Recurrent recurrent = layers.build();
    const bool lstm = specs.front().cell == Cell::lstm;
    for (const std::int64_t N : {200, 1, 3, 40}) {
      const Floats x(static_cast<std::size_t>(3 * N), 0.5f);
      Floats h(static_cast<std::size_t>(2 * N * specs.front().state_size()));
      Floats c(static_cast<std::size_t>(2 * N * specs.front().hidden_size));
      const auto step = [&] {
        recurrent.step(x.data(), N, h.data(), lstm ? c.data() : nullptr, h.data(),
                       lstm ? c.data() : nullptr);
      };
      step();
      CHECK(quiet([&] {
        for (int t = 0; t < 5; ++t) step();
      }));
    }
  }
}

bool any_denormal(const Floats& values) {
  return std::any_of(values.begin(), values.end(),
                     [](float v) { return std::fpclassify(v) == FP_SUBNORMAL; });
}

// Calls run() with flush-to-zero off and on: the mode comes back as it was, the numbers do not
// depend on it, and none is denormal.
template <class Run>
void check_modes(Run run) {
  const std::uint64_t before = float_mode();
  Floats results[2];
  for (const bool flush : {false, true}) {
    const std::uint64_t mode = flush ? before | kFlush : before & ~kFlush;
    set_float_mode(mode);
    results[flush] = run();
    const std::uint64_t after = float_mode();
    set_float_mode(before);
    // Sticky exception flags, which the test's own arithmetic may raise, are not the mode.
    constexpr std::uint64_t kFlags = 0x3f;
    CHECK((after & ~kFlags) == (mode & ~kFlags));
    CHECK(!any_denormal(results[flush]));
  }
  CHECK(same(results[0], results[1]));
}

// The floats at the end of a stream's file, before the checksum: the unfinished windows' states.
Floats saved_state(Stream& stream, std::int64_t size) {
  std::random_device seed;
  const std::string path =
      (std::filesystem::temp_directory_path() / ("slidecell-" + std::to_string(seed()))).string();
  stream.save(path);
  Floats state(static_cast<std::size_t>(size));
  const auto bytes = static_cast<std::streamoff>(state.size() * sizeof(float));
  std::ifstream file(path, std::ios::binary);
  file.seekg(-bytes - static_cast<std::streamoff>(sizeof(std::uint64_t)), std::ios::end);
  CHECK(static_cast<bool>(file.read(reinterpret_cast<char*>(state.data()), bytes)));
  std::remove(path.c_str());
  return state;
}

// Cells without biases and with small weights: after a burst, zeros let every state and every
// prediction fall by orders of magnitude per row, through the denormals to zero.
constexpr double kDecay = 0.05;

std::vector<LayerSpec> decaying_layers() {
  std::vector<LayerSpec> specs;
  for (const Activation activation : {Activation::tanh, Activation::relu, Activation::linear}) {
    for (LayerSpec s : {layer(Cell::lstm, 9), layer(Cell::gru, 9), layer(Cell::gru, 9)}) {
      s.activation = activation;
      s.reset_after = specs.size() % 3 == 1;
      specs.push_back(s);
    }
  }
  return specs;
}

void test_stream_denormals(std::mt19937& rng) {
  constexpr std::int64_t kWindow = 24;
  // Small enough for states to pass through the denormals before a window ends, though a gate
  // without bias only halves them per row.
  constexpr double kBurst = 1e-33;
  for (const LayerSpec& cell : decaying_layers()) {
    for (const std::int64_t horizon : {0, 1}) {
      ModelSpec spec;
      spec.window = kWindow;
      spec.horizon = horizon;
      spec.encoder = {cell, cell};
      if (horizon == 0) spec.decoder = {cell};
      spec.gain = kDecay;
      spec.bias = false;
      // Raw forecasts are denormal where scaled ones are not, too.
      spec.center = {0.0, 0.0, 0.0};
      spec.scale = {1.0, 1e-2, 1e-4};
      const SequenceModel model = test::random_model(spec, rng);
      const std::int64_t size =
          (kWindow - 1) * 2 * cell.hidden_size * (cell.cell == Cell::lstm ? 2 : 1);
      for (const std::int64_t entities : {1, 20}) {
        check_modes([&] {
          Stream stream(model, entities);
          Floats results, ahead(3);
          for (std::int64_t n = 0; n < 2 * kWindow; ++n) {
            std::vector<double> row(3);
            for (std::size_t f = 0; f < 3 && n < 5; ++f) row[f] = kBurst * spec.scale[f];
            float score = 0.0f;
            stream.push(0, row.data(), score);
            results.push_back(score);
            if (horizon > 0) {
              stream.predict_next(0, ahead.data());
              results.insert(results.end(), ahead.begin(), ahead.end());
            }
            if (n % 8 == 7) {
              const Floats state = saved_state(stream, size * entities);
              results.insert(results.end(), state.begin(), state.end());
            }
          }
          return results;
        });
      }
    }
  }
}

void test_step_denormals(std::mt19937& rng) {
  for (const LayerSpec& cell : decaying_layers()) {
    const Layers layers({cell, cell}, kDecay, false, rng);
    const bool lstm = cell.cell == Cell::lstm;
    for (const std::int64_t N : {1, 20}) {
      check_modes([&] {
        const Recurrent recurrent = layers.build();  // packs in this mode
        const auto size = static_cast<std::size_t>(2 * N * cell.hidden_size);
        Floats x(static_cast<std::size_t>(3 * N), 1.0f), h(size), c(size), results;
        for (int t = 0; t < 200; ++t) {
          recurrent.step(x.data(), N, h.data(), lstm ? c.data() : nullptr, h.data(),
                         lstm ? c.data() : nullptr);
          std::fill(x.begin(), x.end(), 0.0f);
          results.insert(results.end(), h.begin(), h.end());
          results.insert(results.end(), c.begin(), c.end());
        }
        return results;
      });
    }
  }
}

}  // namespace

int main() {
  test_counters();
  for (const std::string& isa : available_isas()) {
    set_isa(isa);
    std::mt19937 rng(3);
    test_stream_is_quiet(rng);
    test_step_is_quiet(rng);
    test_stream_denormals(rng);
    test_step_denormals(rng);
  }
  return slidecell::test::result();
}

#else

#include <cstdio>

// A sanitizer's allocator and locks, or another C library's, cannot be replaced this way.
int main() {
  std::puts("skipped: allocations can only be counted with glibc and without sanitizers");
  return 77;
}

#endif
