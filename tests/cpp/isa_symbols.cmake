# cmake -DNM=nm -DOBJECT=isa_avx512.cpp.o -P isa_symbols.cmake
# An ISA object defines one symbol that the linker can see: its kernel table. Any other, a weak
# inline function of a header for instance, was compiled with that ISA's instructions and could be
# the copy that the linker keeps for everybody: a crash on an older CPU, and only there.
execute_process(COMMAND ${NM} -C -g --defined-only ${OBJECT}
                OUTPUT_VARIABLE output RESULT_VARIABLE status OUTPUT_STRIP_TRAILING_WHITESPACE)
if(NOT status EQUAL 0)
  message(FATAL_ERROR "nm failed on ${OBJECT}")
endif()
# Under sanitizers GCC adds a hidden pointer to the unwinder's personality: data, no code.
string(REGEX REPLACE "[^\n]* DW\\.ref\\.__gxx_personality_v0\n?" "" output "${output}")
string(STRIP "${output}" output)
string(REGEX REPLACE "\n+" ";" symbols "${output}")
list(LENGTH symbols count)
if(NOT count EQUAL 1)
  message(FATAL_ERROR "${OBJECT}: expected one symbol, got ${count}:\n${output}")
endif()
