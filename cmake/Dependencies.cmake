find_package(PkgConfig REQUIRED)
find_package(Threads REQUIRED)
find_package(OpenSSL REQUIRED)
find_package(nlohmann_json REQUIRED)
find_package(CLI11 REQUIRED)

# lx_pkg(<target> <pkg-config name>): an interface target with system includes.
function(lx_pkg target module)
  pkg_check_modules(${target}_pc REQUIRED ${module})
  add_library(${target} INTERFACE)
  target_include_directories(${target} SYSTEM INTERFACE ${${target}_pc_INCLUDE_DIRS})
  target_link_libraries(${target} INTERFACE ${${target}_pc_LINK_LIBRARIES})
endfunction()
lx_pkg(dep_sqlite sqlite3)
lx_pkg(dep_curl libcurl)
lx_pkg(dep_archive libarchive)
lx_pkg(dep_squashfs libsquashfs1)
lx_pkg(dep_zlib zlib)
lx_pkg(dep_zstd libzstd)
lx_pkg(dep_lzma liblzma)
lx_pkg(dep_seccomp libseccomp)
lx_pkg(dep_nftables libnftables)
lx_pkg(dep_nl_route libnl-route-3.0)
lx_pkg(dep_yaml yaml-cpp)
lx_pkg(dep_spdlog spdlog)
lx_pkg(dep_fmt fmt)

# Asio and Beast are compiled once, in the room lx_boost, and only declared elsewhere.
add_library(lx_boost STATIC ${PROJECT_SOURCE_DIR}/cmake/boost_impl.cc)
target_link_libraries(lx_boost PUBLIC lxmgr_flags Threads::Threads OpenSSL::SSL OpenSSL::Crypto)
target_compile_definitions(lx_boost PUBLIC BOOST_ASIO_SEPARATE_COMPILATION BOOST_BEAST_SEPARATE_COMPILATION
  BOOST_ASIO_NO_DEPRECATED BOOST_ASIO_DISABLE_BOOST_ARRAY)
# GCC 12 sees the inlined operator new of a coroutine frame but not the operator delete that pairs with it (bug 105595).
target_compile_options(lx_boost PUBLIC -fcoroutines -Wno-mismatched-new-delete PRIVATE -w)

lx_pch(json DEPS dep_fmt nlohmann_json::nlohmann_json)
lx_pch(boost DEPS lx_boost dep_fmt nlohmann_json::nlohmann_json)
