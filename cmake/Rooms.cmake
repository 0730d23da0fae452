# A room is a folder that is one CMake target. Sources are globbed, so adding a file needs no edit here.

add_library(lxmgr_flags INTERFACE)
target_include_directories(lxmgr_flags INTERFACE ${PROJECT_SOURCE_DIR})
target_compile_options(lxmgr_flags INTERFACE -Wall -Wextra -Wshadow -Wconversion -Werror -fno-semantic-interposition
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

# lx_room(<name> [DEPS rooms and libraries...]): a static library of every .cc in the current folder and below.
function(lx_room name)
  cmake_parse_arguments(ROOM "" "" "DEPS" ${ARGN})
  file(GLOB_RECURSE sources CONFIGURE_DEPENDS ${CMAKE_CURRENT_SOURCE_DIR}/*.cc)
  if(NOT sources)
    add_library(${name} INTERFACE)
    target_link_libraries(${name} INTERFACE lxmgr_flags ${ROOM_DEPS})
    return()
  endif()
  add_library(${name} STATIC ${sources})
  target_link_libraries(${name} PUBLIC lxmgr_flags ${ROOM_DEPS})
endfunction()
