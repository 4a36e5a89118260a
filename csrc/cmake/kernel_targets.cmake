# The one list of instruction sets, slowest first: what is built, what isas.cpp offers and what
# tests/cpp checks follows it. Each has an object library with its own flags, which live here and
# nowhere else.
#
# isa(<name> [PROCESSOR <regex>] [CPU <feature>...] [FLAGS <flag>...] [PRODUCTS_ONLY])
#   PROCESSOR      where it is built; everywhere if not given
#   CPU            what __builtin_cpu_supports is asked for before it is offered
#   PRODUCTS_ONLY  it holds a matrix unit's products, no kernel table: isas.cpp adds it to a table
set(SLIDECELL_ISAS "")
set(SLIDECELL_KNOWN_ISAS "")
macro(isa name)
  cmake_parse_arguments(isa "PRODUCTS_ONLY" "PROCESSOR" "CPU;FLAGS" ${ARGN})
  list(APPEND SLIDECELL_KNOWN_ISAS ${name})
  set(SLIDECELL_FLAGS_${name} ${isa_FLAGS})
  set(SLIDECELL_CPU_${name} ${isa_CPU})
  set(SLIDECELL_PRODUCTS_ONLY_${name} ${isa_PRODUCTS_ONLY})
  if(NOT isa_PROCESSOR OR CMAKE_SYSTEM_PROCESSOR MATCHES "^(${isa_PROCESSOR})$")
    list(APPEND SLIDECELL_ISAS ${name})
  endif()
endmacro()

set(x86 "x86_64|AMD64|amd64")
set(arm "aarch64|arm64|ARM64")
set(avx512 -mavx2 -mfma -mavx512f -mavx512bw -mavx512dq -mavx512vl)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU")
  # False positives of GCC 12 in its own avx512fintrin.h.
  list(APPEND avx512 -Wno-uninitialized -Wno-maybe-uninitialized)
endif()
isa(scalar)
isa(avx2 PROCESSOR "${x86}" CPU avx2 fma FLAGS -mavx2 -mfma)
isa(avx512 PROCESSOR "${x86}" CPU avx512f avx512bw avx512dq avx512vl FLAGS ${avx512})
isa(avx512_bf16 PROCESSOR "${x86}" FLAGS ${avx512} -mavx512bf16 PRODUCTS_ONLY)
include(${CMAKE_CURRENT_LIST_DIR}/tile_assembler.cmake)
if(SLIDECELL_ASSEMBLES_TILES OR SLIDECELL_EMULATE_AMX)
  set(SLIDECELL_HAS_TILES TRUE)
  set(tile_processor "${x86}")
else()
  set(SLIDECELL_HAS_TILES FALSE)
  set(tile_processor "none")
endif()
# Tile instructions are written as assembly, so no flag of theirs is needed.
isa(amx PROCESSOR "${tile_processor}" FLAGS ${avx512} -mavx512bf16 PRODUCTS_ONLY)
if(SLIDECELL_HAS_TILES AND SLIDECELL_ASSEMBLES_FLOAT16)
  set(SLIDECELL_HAS_FLOAT16 TRUE)
  set(float16_processor "${x86}")
else()
  set(SLIDECELL_HAS_FLOAT16 FALSE)
  set(float16_processor "none")
endif()
isa(amx_fp16 PROCESSOR "${float16_processor}" FLAGS ${avx512} -mavx512bf16 -mavx512fp16
    PRODUCTS_ONLY)
isa(neon PROCESSOR "${arm}")

set_property(GLOBAL PROPERTY SLIDECELL_ISAS ${SLIDECELL_ISAS})
set_property(GLOBAL PROPERTY SLIDECELL_KNOWN_ISAS ${SLIDECELL_KNOWN_ISAS})

# Writes the list as C++ into `header`.
function(write_isa_list header)
  set(declarations "")
  set(rows "")
  set(count 0)
  foreach(isa IN LISTS SLIDECELL_ISAS)
    if(NOT SLIDECELL_PRODUCTS_ONLY_${isa})
      set(has_it true)
      foreach(feature IN LISTS SLIDECELL_CPU_${isa})
        string(APPEND has_it " && __builtin_cpu_supports(\"${feature}\")")
      endforeach()
      string(APPEND declarations "const KernelTable& kernels_${isa}();\n")
      string(APPEND rows "      {kernels_${isa}, ${has_it}},\n")
      math(EXPR count "${count} + 1")
    endif()
  endforeach()
  configure_file(${CMAKE_CURRENT_SOURCE_DIR}/src/cpu/isa_list.h.in ${header} @ONLY)
endfunction()

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
  foreach(isa amx amx_fp16)
    if(SLIDECELL_EMULATE_AMX AND TARGET slidecell_kernels_${isa})
      target_compile_definitions(slidecell_kernels_${isa} PRIVATE SLIDECELL_EMULATE_AMX)
    endif()
  endforeach()
  set(${objects} ${all} PARENT_SCOPE)
endfunction()
