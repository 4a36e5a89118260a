# One object library per instruction set, with that set's flags, which live here and nowhere else.
# Those of amx and avx512_bf16 hold their products alone.
set(SLIDECELL_FLAGS_scalar "")
set(SLIDECELL_FLAGS_avx2 -mavx2 -mfma)
set(SLIDECELL_FLAGS_avx512 -mavx2 -mfma -mavx512f -mavx512bw -mavx512dq -mavx512vl)
set(SLIDECELL_FLAGS_avx512_bf16 ${SLIDECELL_FLAGS_avx512} -mavx512bf16)
# Tile instructions are written as assembly, so no flag of theirs is needed.
set(SLIDECELL_FLAGS_amx ${SLIDECELL_FLAGS_avx512_bf16})
set(SLIDECELL_FLAGS_neon "")
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # GCC 12 vectorises products of plain floats by loads of the row after the one that is needed:
  # beyond the last row, which ends a process where a page of memory ends there.
  list(APPEND SLIDECELL_FLAGS_scalar -fno-tree-loop-vectorize)
  # False positives of GCC 12 in its own avx512fintrin.h.
  foreach(isa avx512 avx512_bf16 amx)
    list(APPEND SLIDECELL_FLAGS_${isa} -Wno-uninitialized -Wno-maybe-uninitialized)
  endforeach()
endif()

# The one list of instruction sets: what is built, and what tests/cpp checks, follows it.
set(SLIDECELL_ISAS scalar)
if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64|amd64)$")
  list(APPEND SLIDECELL_ISAS avx2 avx512 avx512_bf16 amx)
elseif(CMAKE_SYSTEM_PROCESSOR MATCHES "^(aarch64|arm64|ARM64)$")
  list(APPEND SLIDECELL_ISAS neon)
endif()

set_property(GLOBAL PROPERTY SLIDECELL_ISAS ${SLIDECELL_ISAS})

# objects: set to what a library of them links.
function(add_kernel_targets objects)
  set(all "")
  foreach(isa IN LISTS SLIDECELL_ISAS)
    add_library(slidecell_kernels_${isa} OBJECT
                ${CMAKE_CURRENT_SOURCE_DIR}/src/kernels/isa_${isa}.cpp)
    target_include_directories(slidecell_kernels_${isa} PRIVATE
                               ${CMAKE_CURRENT_SOURCE_DIR}/src ${CMAKE_CURRENT_SOURCE_DIR}/include)
    target_link_libraries(slidecell_kernels_${isa} PRIVATE slidecell_flags)
    target_compile_options(slidecell_kernels_${isa} PRIVATE ${SLIDECELL_FLAGS_${isa}})
    list(APPEND all $<TARGET_OBJECTS:slidecell_kernels_${isa}>)
  endforeach()
  if(SLIDECELL_EMULATE_AMX AND TARGET slidecell_kernels_amx)
    target_compile_definitions(slidecell_kernels_amx PRIVATE SLIDECELL_EMULATE_AMX)
  endif()
  set(${objects} ${all} PARENT_SCOPE)
endfunction()
