// Whether this machine has AMX as the kernels use it, and whether this process may use it.
#pragma once

#include <atomic>
#include <cstdint>
#include <mutex>
#include <string>

namespace slidecell {

struct CpuidRegisters {
  std::uint32_t a = 0, b = 0, c = 0, d = 0;
};

// What a machine answers: its own instructions and system calls, or those of a test.
struct AmxMachine {
  // False where the CPU has no such leaf.
  bool (*cpuid)(std::uint32_t leaf, std::uint32_t subleaf, CpuidRegisters& found);
  // The registers that the operating system saves (XCR0). Asked for only where the CPU has it.
  std::uint64_t (*saved_registers)();
  // Asks the operating system for the tile registers: 0, or the error's number.
  int (*request)();
};

// Empty if the CPU has AVX512-BF16 and AMX's bf16 tiles of 16 rows of 64 bytes, and the operating
// system saves them; otherwise why not. A hypervisor may show AMX without its palettes, where the
// first tile instruction ends the process. Asks for no permission.
std::string amx_refusal(const AmxMachine& machine);

// Whether the tiles multiply 8-bit numbers. As has_float16: a hypervisor may hide it.
bool has_int8_tiles(const AmxMachine& machine);

// Whether the CPU computes in float16 (AVX512-FP16). All CPUs with AMX have it so far, but a
// hypervisor may hide it.
bool has_float16(const AmxMachine& machine);

// The operating system's permission to use the tile registers, which holds for the whole process.
// From then on it refuses a thread an alternate signal stack too small for them; and it refuses the
// permission where a thread has such a stack already. So it is asked for as late as possible.
class AmxPermission {
 public:
  explicit AmxPermission(const AmxMachine& machine) : machine_(machine) {}

  // Empty where the process has it; otherwise why not. A stack too small may be gone at the next
  // call, which asks again; any other refusal stays.
  std::string ask();

 private:
  const AmxMachine& machine_;
  std::atomic<bool> granted_{false};
  std::mutex mutex_;
  std::string refusal_;
};

// The same of this machine and this process.
std::string amx_refusal();
std::string ask_for_amx();
bool has_int8_tiles();
bool has_float16();

}  // namespace slidecell
