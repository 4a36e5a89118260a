// Which machines have AMX, and when the operating system is asked for it: on machines that this
// test makes up.
#include <cerrno>
#include <cstdint>
#include <map>
#include <string>
#include <utility>

#include "cpu/amx_permission.h"
#include "cpu/isas.h"
#include "slidecell/cpu.hpp"
#include "test.h"

namespace {

using namespace slidecell;

// What the made-up machine answers.
std::map<std::pair<std::uint32_t, std::uint32_t>, CpuidRegisters> leaves;
std::uint64_t saved = 0;
int error = 0;
int requests = 0;

bool fake_cpuid(std::uint32_t leaf, std::uint32_t subleaf, CpuidRegisters& found) {
  const auto at = leaves.find({leaf, subleaf});
  if (at == leaves.end()) return false;
  found = at->second;
  return true;
}
std::uint64_t fake_saved() { return saved; }
int fake_request() {
  ++requests;
  return error;
}
constexpr AmxMachine kFake{fake_cpuid, fake_saved, fake_request};

// As Sapphire Rapids answers, all other bits left out.
void become_sapphire_rapids() {
  leaves = {
      {{1, 0}, {0, 0, 1u << 27, 0}},
      {{7, 0}, {0, 0, 0, 1u << 22 | 1u << 24}},
      {{7, 1}, {1u << 5, 0, 0, 0}},
      {{0x1d, 0}, {1, 0, 0, 0}},
      {{0x1d, 1}, {1024u << 16 | 8192, 8u << 16 | 64, 16, 0}},
      {{0x1e, 0}, {0, 64u << 8 | 16, 0, 0}},
  };
  saved = 0x602e7;
  error = 0;
  requests = 0;
}

void test_machines() {
  become_sapphire_rapids();
  CHECK(amx_refusal(kFake).empty());

  const std::string absent = "this CPU does not have it";
  leaves[{7, 0}].d = 1u << 24;
  CHECK(amx_refusal(kFake) == absent);  // tiles without bf16
  become_sapphire_rapids();
  leaves[{7, 0}].d = 1u << 22;
  CHECK(amx_refusal(kFake) == absent);
  become_sapphire_rapids();
  leaves[{7, 1}].a = 0;
  CHECK(amx_refusal(kFake) == absent);  // no AVX512-BF16
  leaves.clear();
  CHECK(amx_refusal(kFake) == absent);

  become_sapphire_rapids();
  CHECK(!has_float16(kFake) && !has_int8_tiles(kFake));
  leaves[{7, 0}].d |= 1u << 23;
  CHECK(has_float16(kFake) && amx_refusal(kFake).empty());
  leaves[{7, 0}].d |= 1u << 25;
  CHECK(has_int8_tiles(kFake) && amx_refusal(kFake).empty());

  const std::string system = "the operating system does not save its tile registers";
  become_sapphire_rapids();
  saved = 0x202e7;  // configuration without data
  CHECK(amx_refusal(kFake) == system);
  saved = 0xe7;
  CHECK(amx_refusal(kFake) == system);
  become_sapphire_rapids();
  leaves[{1, 0}].c = 0;
  CHECK(amx_refusal(kFake) == system);
  CHECK(requests == 0);
}

// Hypervisors that show the features and hide the tiles behind them, or show smaller ones.
void test_palettes() {
  const std::string text =
      "this CPU or its hypervisor shows it without tiles of 16 rows of 64 bytes";
  for (const auto& leaf : {std::pair{0x1du, 0u}, std::pair{0x1du, 1u}, std::pair{0x1eu, 0u}}) {
    become_sapphire_rapids();
    leaves[leaf] = {};
    CHECK(amx_refusal(kFake) == text);
    leaves.erase(leaf);
    CHECK(amx_refusal(kFake) == text);
  }
  const auto palette = [&](std::uint32_t names, std::uint32_t row_bytes, std::uint32_t rows) {
    become_sapphire_rapids();
    leaves[{0x1d, 1}].b = names << 16 | row_bytes;
    leaves[{0x1d, 1}].c = rows;
    return amx_refusal(kFake);
  };
  CHECK(palette(8, 64, 16).empty());
  CHECK(palette(16, 64, 32).empty());
  CHECK(palette(7, 64, 16) == text);
  CHECK(palette(8, 32, 16) == text);
  CHECK(palette(8, 64, 15) == text);
  const auto unit = [&](std::uint32_t max_k, std::uint32_t max_n) {
    become_sapphire_rapids();
    leaves[{0x1e, 0}].b = max_n << 8 | max_k;
    return amx_refusal(kFake);
  };
  CHECK(unit(16, 64).empty());
  CHECK(unit(32, 128).empty());
  CHECK(unit(15, 64) == text);
  CHECK(unit(16, 63) == text);
}

void test_permission() {
  become_sapphire_rapids();
  AmxPermission granted(kFake);
  CHECK(requests == 0);
  CHECK(granted.ask().empty() && requests == 1);
  error = EPERM;  // nobody takes it back
  CHECK(granted.ask().empty() && requests == 1);

  become_sapphire_rapids();
  error = ENOSPC;
  AmxPermission later(kFake);
  const std::string small = "a thread's alternate signal stack is too small for its tile registers";
  CHECK(later.ask() == small && later.ask() == small && requests == 2);
  error = 0;  // the thread has ended
  CHECK(later.ask().empty() && later.ask().empty() && requests == 3);

  become_sapphire_rapids();
  error = EINVAL;
  AmxPermission never(kFake);
  CHECK(never.ask().find("the operating system refuses its tile registers: ") == 0);
  error = 0;
  CHECK(never.ask().find("refuses its tile registers") != std::string::npos && requests == 1);
}

#ifdef __x86_64__
// Listed even where it is refused, with the reason.
void test_listed() {
  const Isa& amx = isas().back();
  CHECK(std::string(amx.kernels->isa) == "amx");
  CHECK(amx.available() == (amx.kernels->matrix && amx.refusal.empty()));
  CHECK(amx.available() != (refused_isas().count("amx") == 1));
  CHECK(std::string(amx.kernels->without_matrix->isa) == "avx512");
}
#endif

}  // namespace

int main() {
  test_machines();
  test_palettes();
  test_permission();
#ifdef __x86_64__
  test_listed();
#endif
  return test::result();
}
