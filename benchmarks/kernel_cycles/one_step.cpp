// one_step KERNEL CELL HIDDEN GROUPS STARTED COARSE: one time step of one layer on GROUPS vectors
// of windows, between two breakpoints, traced by the parent process. What it computes is zeros; its
// instructions are those of any.
#include <sys/ptrace.h>

#include <csignal>
#include <cstdint>
#include <cstdio>
#include <cstdlib>
#include <map>
#include <string>
#include <vector>

#include "kernels/kernel_table.h"
#include "kernels/low_table.h"
#include "kernels/matrix_table.h"

namespace {

using namespace slidecell;

constexpr std::int64_t kLanes = 16;

// Zeros, aligned to a cache line.
template <class T>
T* zeros(std::int64_t size) {
  const auto bytes = (static_cast<std::size_t>(size) * sizeof(T) + 127) / 64 * 64;
  void* memory = std::aligned_alloc(64, bytes);
  if (!memory) std::abort();
  __builtin_memset(memory, 0, bytes);
  return static_cast<T*>(memory);
}

std::int64_t round_up(std::int64_t a, std::int64_t b) { return (a + b - 1) / b * b; }

template <class Step>
void traced(void (*kernel)(const Step&), const Step& step) {
  kernel(step);  // its pages are there
  asm volatile("int3" : : : "memory");
  kernel(step);
  asm volatile("int3" : : : "memory");
}

template <class Step>
void fill(Step& a, std::int64_t H, std::int64_t groups, bool has_c) {
  static std::vector<std::int32_t> col;
  for (std::int64_t v = 0; v < groups; ++v) col.push_back(static_cast<std::int32_t>(v * kLanes));
  const std::int64_t stride = groups * kLanes;
  a.b_hh = zeros<float>(H);
  a.hidden = H;
  a.vectors = groups;
  a.p = zeros<float>(kMaxGates * H * stride);
  a.p_stride = stride;
  a.p_col = col.data();
  a.c = has_c ? zeros<float>(H * stride) : nullptr;
  a.h_out = zeros<float>(H * stride);
  a.scratch = zeros<float>(2 * H * stride);
  a.stride = stride;
}

}  // namespace

int main(int argc, char** argv) {
  const std::map<std::string, CellForm> forms = {{"lstm", CellForm::lstm},
                                                 {"gru", CellForm::gru},
                                                 {"gru_reset_before", CellForm::gru_reset_before},
                                                 {"rnn", CellForm::rnn}};
  const std::map<std::string, const LowKernels& (*)()> low = {{"int8 vnni", low_avx512_vnni},
                                                              {"int8 amx", low_amx}};
  const std::map<std::string, const MatrixKernels& (*)()> matrix = {
      {"bf16", matrix_avx512_bf16},
#ifdef SLIDECELL_HAS_FLOAT16
      {"amx fp16", matrix_amx_fp16},
#endif
      {"amx", matrix_amx},
  };
  if (argc != 7 || forms.count(argv[2]) == 0 || low.count(argv[1]) + matrix.count(argv[1]) == 0) {
    std::fprintf(stderr, "usage: one_step KERNEL CELL HIDDEN GROUPS STARTED COARSE\n");
    return 2;
  }
  if (ptrace(PTRACE_TRACEME, 0, nullptr, nullptr) != 0 || std::raise(SIGSTOP) != 0) {
    std::perror("one_step: not traced");
    return 1;
  }
  const CellForm form = forms.at(argv[2]);
  const std::int64_t H = std::atoll(argv[3]), groups = std::atoll(argv[4]);
  const bool started = std::atoi(argv[5]) != 0, coarse = std::atoi(argv[6]) != 0;
  const std::int64_t stride = groups * kLanes, rows = round_up(kMaxGates * H, 192);
  const bool has_c = traits_of(form).has_c;
  if (low.count(argv[1]) != 0) {
    const LowKernels& kernels = low.at(argv[1])();
    const std::int64_t words = round_up(round_up(H, 4) / kernels.per_word, 16);
    LowStep a{};
    fill(a, H, groups, has_c);
    a.w = a.w_late = {zeros<std::uint32_t>(rows * words), zeros<std::int32_t>(rows),
                      zeros<float>(rows)};
    a.h = started ? a.h_out : nullptr;
    a.codes = zeros<float>(words * stride);
    a.scaled = true;
    a.coarse = coarse;
    traced(kernels.cells[form].columns, a);
    return 0;
  }
  const MatrixKernels& kernels = matrix.at(argv[1])();
  MatrixStep a{};
  fill(a, H, groups, has_c);
  a.pairs = round_up((H + 1) / 2, kernels.chunk);
  a.w = a.w_late = {zeros<std::uint32_t>(rows * a.pairs), 0};
  a.h_pairs = started ? zeros<std::uint32_t>(a.pairs * stride) : nullptr;
  a.h = zeros<float>(H * stride);
  a.h_pairs_out = zeros<std::uint32_t>(a.pairs * stride);
  a.late_pairs = zeros<std::uint32_t>(a.pairs * stride);
  traced(kernels.step[0][form], a);
  return 0;
}
