// The instruction sets that this CPU offers, and the one that the kernels use.
#pragma once

#include <map>
#include <string>
#include <vector>

#include "slidecell/export.h"

namespace slidecell {

// Names, slowest first: "scalar", then "avx2", "avx512" and "amx" on x86-64 or "neon" on AArch64.
// For amx a process also needs the operating system's permission, which it is asked for when a
// model first takes AMX's tiles. Where it refuses, AVX-512 serves and SequenceModel::plan() says
// why; if SLIDECELL_ISA or set_isa() named amx, the call throws UnsupportedError.
SLIDECELL_API std::vector<std::string> available_isas();

// The ISAs of this build that are not available here, and why: "amx": "this CPU does not have it".
SLIDECELL_API std::map<std::string, std::string> refused_isas();

// The ISA that calls made from now on use: the best available one, unless the environment
// variable SLIDECELL_ISA or set_isa() chose another.
// Throws UnsupportedError if SLIDECELL_ISA names an ISA that this machine does not have.
SLIDECELL_API std::string active_isa();

// Throws UnsupportedError if `name` is unknown or not available here; never falls back.
SLIDECELL_API void set_isa(const std::string& name);

// A larger num_threads counts as this.
constexpr int kMaxThreads = 1024;

// Threads that a call with num_threads = 0 uses.
SLIDECELL_API int default_num_threads();

// True once a call of this process ran on fewer threads than it asked for, because the system had
// no more (a limit of processes or of memory). Its result is the same.
SLIDECELL_API bool had_fewer_threads();

// While a long call of this thread works (score, predict, encode, forward, training, windows), it
// calls `poll` about every 50 ms. An exception from it ends the call and comes out of it; what the
// call was to write may then be written in part. Null, as at first: nothing is called.
SLIDECELL_API void set_poll(void (*poll)());

}  // namespace slidecell
