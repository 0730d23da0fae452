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

# lx_room(<name> [PCH name] [DEPS rooms and libraries...]): a static library of every .cc in the current folder and below.
function(lx_room name)
  cmake_parse_arguments(ROOM "" "PCH" "DEPS" ${ARGN})
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.cc)
  if(NOT sources)
    add_library(${name} INTERFACE)
    target_link_libraries(${name} INTERFACE lxmgr_flags ${ROOM_DEPS})
    return()
  endif()
  add_library(${name} STATIC ${sources})
  target_link_libraries(${name} PUBLIC lxmgr_flags ${ROOM_DEPS})
  if(ROOM_PCH)
    lx_use_pch(${name} ${ROOM_PCH})
  endif()
endfunction()
