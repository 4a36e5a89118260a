# cmake -DCXX=compiler -DSOURCE=repository -DFOLDER=scratch -P tile_assembler.cmake
# A build knows whether its assembler has tile instructions. GNU's can be told to be one without.
function(check name flags place tiles)
  file(WRITE ${FOLDER}/${name}/CMakeLists.txt "
    cmake_minimum_required(VERSION 3.20)
    project(tiles LANGUAGES CXX)
    include(${SOURCE}/csrc/cmake/kernel_targets.cmake)
    list(FIND SLIDECELL_ISAS amx place)
    message(STATUS \"place of amx: \${place}, tiles: \${SLIDECELL_HAS_TILES}\")\n")
  execute_process(COMMAND ${CMAKE_COMMAND} -S ${FOLDER}/${name} -B ${FOLDER}/${name}/build
                          -DCMAKE_CXX_COMPILER=${CXX} -DCMAKE_CXX_FLAGS=${flags}
                  OUTPUT_VARIABLE output ERROR_VARIABLE errors RESULT_VARIABLE status)
  if(NOT status EQUAL 0)
    message(FATAL_ERROR "${name}: ${errors}")
  endif()
  if(NOT output MATCHES "place of amx: ${place}, tiles: ${tiles}")
    message(FATAL_ERROR "${name}: expected place ${place} and tiles ${tiles} in: ${output}")
  endif()
  string(REGEX MATCH "leaves[ \n]+out[ \n]+AMX" warning "${errors}")
  if(tiles AND warning OR NOT tiles AND NOT warning)
    message(FATAL_ERROR "${name}: the wrong warnings: ${errors}")
  endif()
endfunction()

check(here "" "[0-9]+" TRUE)
check(old "-Wa,-march=generic64" -1 FALSE)
