// The host's stand-in for csrc/cuda/device/platform.cuh: the same functions, and a GPU made of
// fibers. The kernels are compiled as they are; each CUDA thread is a fiber that runs until it
// meets a barrier.
//
// What it finds: wrong indices, missing barriers (warps run in the order asked for, each as far as
// it goes without the others, so that results which depend on it differ), barriers that not all
// threads reach, reads of shared memory that nothing wrote (it is full of NaN) and writes beyond
// its end. What it cannot find: anything that only a real compiler and a real memory system do.
#pragma once

#include <setjmp.h>
#include <ucontext.h>
#include <xmmintrin.h>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <cstring>
#include <functional>
#include <map>
#include <memory>
#include <numeric>
#include <random>
#include <vector>

#define __device__
#define __global__
#define __shared__
#define __forceinline__ inline
#define __noinline__
#define __grid_constant__
#define __launch_bounds__(...)

struct alignas(16) float4 {
  float x, y, z, w;
};
struct alignas(8) uint2 {
  unsigned x, y;
};
struct alignas(16) uint4 {
  unsigned x, y, z, w;
};
inline float4 make_float4(float x, float y, float z, float w) { return {x, y, z, w}; }
inline uint2 make_uint2(unsigned x, unsigned y) { return {x, y}; }

struct Index {
  unsigned x;
};
inline Index threadIdx, blockIdx, blockDim, gridDim;

constexpr std::size_t kSharedBytes = 256 * 1024;
alignas(128) float4 shared[kSharedBytes / sizeof(float4)];

namespace emulator {

enum class State { ready, at_block_barrier, at_warp_barrier, done };

// A context makes a fiber's stack; from then on setjmp and longjmp switch, which unlike swapcontext
// make no system call.
// Products that a group's matrix unit has begun: where each result goes, and what it will be.
struct Batch {
  std::map<float*, std::vector<float>> results;
};

struct Fiber {
  ucontext_t context;
  jmp_buf resume;
  bool started;
  std::unique_ptr<char[]> stack;
  State state;
  unsigned thread;
  unsigned turn;      // of the exchange
  bool may_multiply;  // since begin_products
  std::vector<Batch> batches;
};

constexpr std::size_t kStackBytes = 128 * 1024;

using Fibers = std::vector<Fiber*>;

inline std::vector<std::unique_ptr<Fiber>> fibers;  // kept from launch to launch
inline jmp_buf scheduler;
inline Fiber* current;
inline std::function<void()> body;
inline std::uint32_t exchange[2][32][32][6];  // [turn][warp][lane]: what lanes show each other

inline void wait(State state) {
  current->state = state;
  if (_setjmp(current->resume) == 0) _longjmp(scheduler, 1);
}

inline void run_fiber() {
  body();
  current->state = State::done;
  _longjmp(scheduler, 1);
}

// Runs the fiber until it waits.
inline void resume(Fiber* fiber) {
  current = fiber;
  threadIdx.x = fiber->thread;
  if (_setjmp(scheduler) != 0) return;
  if (fiber->started) _longjmp(fiber->resume, 1);
  fiber->started = true;
  setcontext(&fiber->context);
}

// Lets those go on that wait at `barrier`, if all of them do that have not ended.
inline bool release(State barrier, const Fibers& group) {
  bool any = false;
  for (const Fiber* fiber : group) {
    if (fiber->state == State::done) continue;
    if (fiber->state != barrier) return false;
    any = true;
  }
  for (Fiber* fiber : group) {
    if (fiber->state == barrier) fiber->state = State::ready;
  }
  return any;
}

// Runs a warp as far as it goes without the others; false if it goes nowhere.
inline bool run_warp(const Fibers& warp) {
  bool ran = false;
  do {
    for (Fiber* fiber : warp) {
      if (fiber->state != State::ready) continue;
      resume(fiber);
      ran = true;
    }
  } while (release(State::at_warp_barrier, warp));
  return ran;
}

// Runs one block; false if it cannot go on because threads wait at different barriers.
inline bool run_block(const std::vector<Fibers>& warps, const Fibers& all) {
  for (Fiber* fiber : all) {
    getcontext(&fiber->context);
    fiber->context.uc_stack.ss_sp = fiber->stack.get();
    fiber->context.uc_stack.ss_size = kStackBytes;
    fiber->context.uc_link = nullptr;
    makecontext(&fiber->context, run_fiber, 0);
    fiber->state = State::ready;
    fiber->started = false;
    fiber->turn = 0;
    fiber->may_multiply = false;
    fiber->batches.clear();
  }
  const auto done = [](const Fiber* fiber) { return fiber->state == State::done; };
  for (;;) {
    bool ran = false;
    for (const Fibers& warp : warps) ran = run_warp(warp) || ran;
    if (std::all_of(all.begin(), all.end(), done)) return true;
    if (!release(State::at_block_barrier, all) && !ran) return false;
  }
}

enum Fault { kNone, kDeadlock, kSharedOverrun, kTooLarge };

// Runs `kernel` on all blocks. seed: of the order of blocks and threads; 0: ascending.
inline int launch(std::function<void()> kernel, unsigned grid, unsigned block,
                  std::size_t shared_bytes, unsigned seed) {
  if (shared_bytes + 1024 > kSharedBytes || block > 1024) return kTooLarge;
  const unsigned mode = _mm_getcsr();
  _mm_setcsr(mode | 0x8040);  // denormals are zero, as under -ftz=true
  body = std::move(kernel);
  while (fibers.size() < block) {
    fibers.push_back(std::make_unique<Fiber>());
    fibers.back()->stack.reset(new char[kStackBytes]);
    fibers.back()->thread = static_cast<unsigned>(fibers.size() - 1);
  }
  std::vector<unsigned> blocks(grid);
  std::iota(blocks.begin(), blocks.end(), 0u);
  std::vector<Fibers> warps((block + 31) / 32);
  Fibers all;
  for (unsigned t = 0; t < block; ++t) {
    all.push_back(fibers[t].get());
    warps[t / 32].push_back(fibers[t].get());
  }
  if (seed != 0) {
    std::mt19937 random(seed);
    std::shuffle(blocks.begin(), blocks.end(), random);
    std::shuffle(warps.begin(), warps.end(), random);
    for (Fibers& warp : warps) std::shuffle(warp.begin(), warp.end(), random);
  }
  gridDim.x = grid;
  blockDim.x = block;
  char* const bytes = reinterpret_cast<char*>(shared);
  int fault = kNone;
  for (const unsigned b : blocks) {
    blockIdx.x = b;
    std::memset(bytes, 0xff, kSharedBytes);  // NaN, and -1 for whoever reads an index
    if (!run_block(warps, all)) fault = kDeadlock;
    const char* const end = bytes + shared_bytes;
    if (std::any_of(end, end + 1024, [](char c) { return c != '\xff'; })) fault = kSharedOverrun;
    if (fault != kNone) break;
  }
  _mm_setcsr(mode);
  return fault;
}

}  // namespace emulator

inline void __syncthreads() { emulator::wait(emulator::State::at_block_barrier); }
inline void __syncwarp() { emulator::wait(emulator::State::at_warp_barrier); }

namespace slidecell {

using int64 = long long;
using uint8 = unsigned char;
using uint32 = unsigned int;

inline float fma(float a, float b, float c) { return __builtin_fmaf(a, b, c); }
inline float absolute(float a) { return std::fabs(a); }
inline uint32 bits_of(float a) {
  uint32 bits;
  std::memcpy(&bits, &a, sizeof bits);
  return bits;
}
inline float from_bits(uint32 bits) {
  float a;
  std::memcpy(&a, &bits, sizeof a);
  return a;
}
inline float at_most(float high, float x) { return high < x ? high : x; }
inline float at_least(float low, float x) { return low > x ? low : x; }

// The special functions err by as much as the GPU's may, up or down by a bit of the argument.
inline float erring(double exact, float x, double relative) {
  const double sign = (bits_of(x) * 2654435761u >> 31) != 0 ? 1.0 : -1.0;
  return static_cast<float>(exact * (1.0 + sign * relative));
}
inline float approximate_reciprocal(float x) {
  const float y = 1.0f / x;
  if (!std::isnormal(y)) return y;
  return from_bits(bits_of(y) + (bits_of(x) * 2654435761u >> 31 != 0 ? 1u : -1u));
}
inline float approximate_exp2(float x) { return erring(std::exp2(double(x)), x, 0x1p-22); }
inline float approximate_tanh(float x) {
  return std::fmax(-1.0f, std::fmin(1.0f, erring(std::tanh(double(x)), x, 0x1p-11)));
}

inline uint32 bf16_of(float x) {
  const uint32 bits = bits_of(x);
  return (bits + 0x7fffu + (bits >> 16 & 1u)) >> 16;
}
inline uint32 pack_bf16(float low, float high) { return bf16_of(low) | bf16_of(high) << 16; }

inline float bf16_at(const uint32* words, unsigned i) {
  return from_bits(i % 2 != 0 ? words[i / 2] & 0xffff0000u : words[i / 2] << 16);
}

// What a lane shows the others of its warp; returns what all of them show. All must come.
template <unsigned count>
inline std::uint32_t (&show(const uint32 (&words)[count]))[32][6] {
  // Two buffers in turn: a lane that is ahead does not overwrite what others still read.
  const unsigned turn = emulator::current->turn++ % 2;
  auto& lanes = emulator::exchange[turn][threadIdx.x / 32];
  std::copy(words, words + count, lanes[threadIdx.x % 32]);
  __syncwarp();
  return lanes;
}

inline uint32 ballot(bool says) {
  const auto& lanes = show<1>({says ? 1u : 0u});
  uint32 bits = 0;
  for (unsigned lane = 0; lane < 32; ++lane) bits |= lanes[lane][0] << lane;
  return bits;
}
template <class T>
inline T from_lane(T value, int from) {
  uint32 words[2] = {0, 0};
  std::memcpy(words, &value, sizeof value);
  T found;
  std::memcpy(&found, show(words)[from], sizeof found);
  return found;
}
inline int count_bits(uint32 bits) { return __builtin_popcount(bits); }

// The matrix unit sums exact products; how it rounds is not specified. Here: once.
inline void multiply_tiles(float (&c)[4], const uint32 (&a)[4], uint32 b0, uint32 b1) {
  const unsigned lane = threadIdx.x % 32, group = lane / 4, pair = lane % 4;
  const auto& lanes = show<6>({a[0], a[1], a[2], a[3], b0, b1});
  for (unsigned e = 0; e < 4; ++e) {
    const unsigned row = group, half = e / 2, column = pair * 2 + e % 2;
    double sum = c[e];
    for (unsigned k = 0; k < 16; ++k) {
      // a[row + 8 half][k] and b[k][column], where PTX keeps them.
      const float x = bf16_at(&lanes[row * 4 + k % 8 / 2][half + k / 8 * 2], k % 2);
      const float y = bf16_at(&lanes[column * 4 + k % 8 / 2][4 + k / 8], k % 2);
      sum += double(x) * double(y);
    }
    c[e] = static_cast<float>(sum);
  }
}

// A group's matrix unit reads operands when it likes and writes results when it is waited for:
// until then they are NaN.
template <bool goes_on>
inline void multiply_group(float (&d)[32], const uint32 (&a)[4], const uint32* b) {
  const unsigned lane = threadIdx.x % 32, group = lane / 4, pair = lane % 4;
  const auto& lanes = show<4>({a[0], a[1], a[2], a[3]});
  emulator::Fiber& fiber = *emulator::current;
  auto& results = fiber.batches.back().results;
  if (!goes_on) results[d].assign(32, 0.0f);
  if (results.count(d) == 0) results[d].assign(d, d + 32);
  const bool right = fiber.may_multiply && reinterpret_cast<std::uintptr_t>(b) % 16 == 0;
  for (unsigned i = 0; i < 32; ++i) {
    const unsigned row = group, half = i / 2 % 2, column = i / 4 * 8 + pair * 2 + i % 2;
    double sum = right ? results[d][i] : NAN;
    for (unsigned k = 0; k < 16; ++k) {
      const float x = bf16_at(&lanes[row * 4 + k % 8 / 2][half + k / 8 * 2], k % 2);
      // Columns by eights 256 bytes apart, rows by eights 128, columns of eight 16.
      const uint32* const square = b + column / 8 * 64 + k / 8 * 32;
      sum += double(x) * double(bf16_at(square + column % 8 * 4, k % 8));
    }
    results[d][i] = static_cast<float>(sum);
  }
  std::fill(d, d + 32, NAN);
}
inline void hold(uint32 (&)[4]) {}
inline void show_to_matrix_unit() {}
inline void begin_products() {
  emulator::current->may_multiply = true;
  emulator::current->batches.emplace_back();
}
inline void commit_products() { emulator::current->may_multiply = false; }
template <int left>
inline void wait_for_products(float (&)[32]) {
  auto& batches = emulator::current->batches;
  while (batches.size() > left) {
    for (const auto& [to, values] : batches.front().results) {
      std::copy(values.begin(), values.end(), to);
    }
    batches.erase(batches.begin());
  }
}

inline float4 load_constant(const float4* p) { return *p; }
inline uint2 load_constant(const uint2* p) { return *p; }
inline void store_shared(float* p, const float (&v)[4]) { std::copy(v, v + 4, p); }

inline float half_to_float(unsigned short half) {
  _Float16 value;
  std::memcpy(&value, &half, sizeof value);
  return static_cast<float>(value);
}

}  // namespace slidecell
