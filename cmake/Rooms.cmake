# A room is a folder that is one CMake target. Sources are globbed, so adding a file needs no edit here.

option(LXMGR_WERROR "Warnings are errors: what the tests are built with, not what another compiler's user needs" OFF)
add_library(lxmgr_flags INTERFACE)
target_include_directories(lxmgr_flags INTERFACE ${PROJECT_SOURCE_DIR})
target_compile_options(lxmgr_flags INTERFACE -Wall -Wextra -Wshadow -Wconversion
  $<$<BOOL:${LXMGR_WERROR}>:-Werror> -fno-semantic-interposition
  # Members have default initialisers; naming only some of them is meant.
  -Wno-missing-field-initializers)
if(CMAKE_CXX_COMPILER_ID STREQUAL "GNU" AND CMAKE_CXX_COMPILER_VERSION VERSION_LESS 14)
  # False on every std::optional it sees through, GCC bug 105562; clang-tidy's analyser looks for the real ones.
  target_compile_options(lxmgr_flags INTERFACE -Wno-maybe-uninitialized)
endif()
target_compile_definitions(lxmgr_flags INTERFACE LXMGR_VERSION="${PROJECT_VERSION}")
if(LXMGR_FAILPOINTS)
  target_compile_definitions(lxmgr_flags INTERFACE LXMGR_FAILPOINTS)
endif()
if(LXMGR_SANITIZE MATCHES thread)
  # ThreadSanitizer knows no fences; Asio's are beside mutexes that it does know.
  target_compile_definitions(lxmgr_flags INTERFACE BOOST_ASIO_DISABLE_FENCED_BLOCK)
endif()
if(LXMGR_SANITIZE)
  target_compile_options(lxmgr_flags INTERFACE -fsanitize=${LXMGR_SANITIZE} -fno-omit-frame-pointer)
  target_link_options(lxmgr_flags INTERFACE -fsanitize=${LXMGR_SANITIZE})
  # Some forty programs of half a gigabyte at most: a minute and a half less than with ld.
  find_program(MOLD mold)
  if(MOLD)
    target_link_options(lxmgr_flags INTERFACE -fuse-ld=mold)
  endif()
endif()

find_program(CCACHE ccache)
if(CCACHE)
  set(CMAKE_CXX_COMPILER_LAUNCHER ${CCACHE})
  set(CMAKE_C_COMPILER_LAUNCHER ${CCACHE})
endif()

option(LXMGR_PCH "Compile the headers that most files share once" ON)

# lx_pch(<name> [DEPS libraries...]): compiles cmake/pch/<name>.h for lx_use_pch(); DEPS bring the flags of its users.
function(lx_pch name)
  cmake_parse_arguments(PCH "" "" "DEPS" ${ARGN})
  if(LXMGR_PCH)
    add_library(lx_pch_${name} OBJECT ${PROJECT_SOURCE_DIR}/cmake/pch/empty.cc)
    target_link_libraries(lx_pch_${name} PRIVATE lxmgr_flags ${PCH_DEPS})
    target_precompile_headers(lx_pch_${name} PRIVATE ${PROJECT_SOURCE_DIR}/cmake/pch/${name}.h)
  endif()
endfunction()

# lx_use_pch(<target> <name>): only for targets compiled with the flags of that header's DEPS.
function(lx_use_pch target name)
  if(LXMGR_PCH)
    target_precompile_headers(${target} REUSE_FROM lx_pch_${name})
  endif()
endfunction()

option(LXMGR_BATCHES "Compile several sources of a room at once: half the time of a clean build" ON)

# lx_batches(<variable> <size> sources...): sets the variable to files that include `size` of the sources each. Paths are
# relative to the repository, so that ccache finds one clone's work in another.
function(lx_batches variable size)
  set(sources ${ARGN})
  if(NOT LXMGR_BATCHES OR NOT size)
    set(${variable} ${sources} PARENT_SCOPE)
    return()
  endif()
  set(batches)
  set(text)
  set(held 0)
  foreach(source IN LISTS sources)
    file(RELATIVE_PATH path ${PROJECT_SOURCE_DIR} ${source})
    string(APPEND text "#include \"${path}\"
")
    math(EXPR held "${held} + 1")
    list(GET sources -1 last)
    if(held EQUAL size OR source STREQUAL last)
      list(LENGTH batches number)
      set(batch ${CMAKE_CURRENT_BINARY_DIR}/batch_${number}.cc)
      file(CONFIGURE OUTPUT ${batch} CONTENT "${text}" @ONLY)
      # GCC takes what is included for a header, in which a type without linkage would be a mistake.
      set_source_files_properties(${batch} PROPERTIES COMPILE_OPTIONS -Wno-subobject-linkage)
      list(APPEND batches ${batch})
      set(text)
      set(held 0)
    endif()
  endforeach()
  set(${variable} ${batches} PARENT_SCOPE)
endfunction()

# lx_room(<name> [PCH name] [BATCH size] [DEPS rooms and libraries...]): a static library of every .cc in the current
# folder and below. With BATCH, names of file scope must be unique in the room (tests/lint/names.py).
function(lx_room name)
  cmake_parse_arguments(ROOM "" "PCH;BATCH" "DEPS" ${ARGN})
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.cc)
  if(NOT sources)
    add_library(${name} INTERFACE)
    target_link_libraries(${name} INTERFACE lxmgr_flags ${ROOM_DEPS})
    return()
  endif()
  lx_batches(sources "${ROOM_BATCH}" ${sources})
  add_library(${name} STATIC ${sources})
  target_link_libraries(${name} PUBLIC lxmgr_flags ${ROOM_DEPS})
  if(ROOM_PCH)
    lx_use_pch(${name} ${ROOM_PCH})
  endif()
endfunction()
