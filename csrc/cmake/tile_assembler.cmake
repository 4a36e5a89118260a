# SLIDECELL_ASSEMBLES_TILES: whether the assembler knows AMX's tile instructions. Those of binutils
# before 2.35 and LLVM before 11 do not; a build without them offers all other instruction sets.
# SLIDECELL_ASSEMBLES_FLOAT16: whether compiler and assembler know AVX512-FP16 (GCC 12 with binutils
# 2.38, LLVM 14). A build without it activates AMX's products in float32.
include(CheckCXXSourceCompiles)

if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64|amd64)$")
  check_cxx_source_compiles([[
    int main() {
      char config[64] = {};
      asm volatile("sttilecfg %0" : "=m"(config));
      asm volatile("ldtilecfg %0" : : "m"(config));
      asm volatile("tileloadd (%0,%1,1), %%tmm0" : : "r"(config), "r"(64L) : "memory");
      asm volatile("tdpbf16ps %tmm0, %tmm1, %tmm2");
      asm volatile("tdpbssd %tmm0, %tmm1, %tmm2");
      asm volatile("tilerelease");
      return 0;
    }]] SLIDECELL_ASSEMBLES_TILES)
  if(NOT SLIDECELL_ASSEMBLES_TILES AND NOT SLIDECELL_EMULATE_AMX)
    message(WARNING "slidecell: the assembler of ${CMAKE_CXX_COMPILER} has no tile instructions: "
                    "this build leaves out AMX. Binutils 2.35 or LLVM 11 has them.")
  endif()
  set(CMAKE_REQUIRED_FLAGS -mavx512fp16)
  check_cxx_source_compiles([[
    #include <immintrin.h>
    int main(int count, char**) {
      const __m512h x = _mm512_set1_ph(static_cast<_Float16>(count));
      return static_cast<int>(_mm512_reduce_add_ph(_mm512_rcp_ph(x)));
    }]] SLIDECELL_ASSEMBLES_FLOAT16)
  unset(CMAKE_REQUIRED_FLAGS)
else()
  set(SLIDECELL_ASSEMBLES_TILES FALSE)
  set(SLIDECELL_ASSEMBLES_FLOAT16 FALSE)
endif()
