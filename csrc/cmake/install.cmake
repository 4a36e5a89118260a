# The installed library: headers, a CMake package and a pkg-config file. All paths in them are
# relative to where they lie, so that the tree can be moved, and can live inside a wheel.
include(GNUInstallDirs)
include(CMakePackageConfigHelpers)

function(install_library library)
  set(package_dir ${CMAKE_INSTALL_LIBDIR}/cmake/slidecell)
  install(TARGETS ${library} EXPORT slidecell-targets
          ARCHIVE DESTINATION ${CMAKE_INSTALL_LIBDIR}
          LIBRARY DESTINATION ${CMAKE_INSTALL_LIBDIR}
          INCLUDES DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
  install(DIRECTORY include/slidecell DESTINATION ${CMAKE_INSTALL_INCLUDEDIR})
  install(EXPORT slidecell-targets NAMESPACE slidecell:: DESTINATION ${package_dir})

  set(generated ${CMAKE_CURRENT_BINARY_DIR}/package)
  configure_package_config_file(cmake/slidecell-config.cmake.in
                                ${generated}/slidecell-config.cmake
                                INSTALL_DESTINATION ${package_dir})
  # Until 1.0 a minor version may break what the one before promised.
  write_basic_package_version_file(${generated}/slidecell-config-version.cmake
                                   COMPATIBILITY SameMinorVersion)
  install(FILES ${generated}/slidecell-config.cmake ${generated}/slidecell-config-version.cmake
          DESTINATION ${package_dir})

  # pkg-config cannot tell which kind it found: a static library names what it needs at once.
  set(SLIDECELL_PC_LIBS "")
  if(NOT BUILD_SHARED_LIBS)
    set(runtime ${CMAKE_CXX_IMPLICIT_LINK_LIBRARIES})
    list(FILTER runtime INCLUDE REGEX "^(stdc\\+\\+|c\\+\\+|m)$")
    list(REMOVE_DUPLICATES runtime)
    foreach(name IN LISTS runtime)
      string(APPEND SLIDECELL_PC_LIBS " -l${name}")
    endforeach()
    string(APPEND SLIDECELL_PC_LIBS " -pthread")
    if(SLIDECELL_OPENMP)
      string(APPEND SLIDECELL_PC_LIBS " ${OpenMP_CXX_FLAGS}")
    endif()
  endif()
  file(RELATIVE_PATH SLIDECELL_PC_PREFIX /${CMAKE_INSTALL_LIBDIR}/pkgconfig /)
  string(REGEX REPLACE "/$" "" SLIDECELL_PC_PREFIX "${SLIDECELL_PC_PREFIX}")
  configure_file(cmake/slidecell.pc.in ${generated}/slidecell.pc @ONLY)
  install(FILES ${generated}/slidecell.pc DESTINATION ${CMAKE_INSTALL_LIBDIR}/pkgconfig)
endfunction()

# The CUDA sources are part of the Python package: CuPy compiles them where there is a GPU.
if(SLIDECELL_PYTHON)
  install(DIRECTORY ${CMAKE_CURRENT_LIST_DIR}/../cuda/ DESTINATION cuda/source
          FILES_MATCHING PATTERN "*.cuh")
endif()
