// Copies of a few hundred floats in line, where a call of memcpy costs as much as it moves.
#pragma once

#include <cstdint>
#include <cstring>

#if defined(__SSE2__)
#include <emmintrin.h>
#endif

namespace slidecell {

// out[0..n) = in[0..n). Moves of 16 bytes, the last of which overlaps the one before.
inline void copy_floats(float* out, const float* in, std::int64_t n) {
  constexpr std::int64_t kMove = 4, kMoves = 16, kInLine = 512;
  if (n < kMove) {
    for (std::int64_t i = 0; i < n; ++i) out[i] = in[i];
    return;
  }
  if (n > kInLine) {
    std::memcpy(out, in, static_cast<std::size_t>(n) * sizeof(float));
    return;
  }
  std::int64_t i = 0;
  for (; i + kMoves <= n; i += kMoves) std::memcpy(out + i, in + i, kMoves * sizeof(float));
  for (; i + kMove <= n; i += kMove) std::memcpy(out + i, in + i, kMove * sizeof(float));
  std::memcpy(out + n - kMove, in + n - kMove, kMove * sizeof(float));
}

// The same past the cache, whose lines would be read first and then push out others. Adjacent
// pieces, written one after the other, share full lines; nothing is written twice. Other threads
// see them after `end_streaming`. Where the CPU has no such stores this is copy_floats.
inline void stream_floats(float* out, const float* in, std::int64_t n) {
#if defined(__SSE2__)
  constexpr std::int64_t kMove = 4;
  const auto stream_one = [&](std::int64_t i) {
    int bits;
    std::memcpy(&bits, in + i, sizeof bits);
    _mm_stream_si32(reinterpret_cast<int*>(out + i), bits);
  };
  std::int64_t i = 0;
  while (i < n && reinterpret_cast<std::uintptr_t>(out + i) % (kMove * sizeof(float)) != 0) {
    stream_one(i++);
  }
  for (; i + kMove <= n; i += kMove) _mm_stream_ps(out + i, _mm_loadu_ps(in + i));
  while (i < n) stream_one(i++);
#else
  copy_floats(out, in, n);
#endif
}

inline void end_streaming() {
#if defined(__SSE2__)
  _mm_sfence();
#endif
}

}  // namespace slidecell
