#pragma once
#include <cstdint>
#include <string>

#include "lxd-daemon/base/result.h"

/// A small root file system with one of everything that is easily lost on the way.
namespace lxmgr::conformance {

/// Fills a volume, as an image's unpacking would. `hostname` becomes the text of /etc/hostname.
Result<> fill_sample(int root_fd, const std::string& hostname);
/// EXPECTs all of it through a mount that shows container id 0 as `base`.
void expect_sample(int root_fd, std::uint32_t base, const std::string& hostname);

/// Small files, beneath a directory that a test has mounted; failures are EXPECTed away.
void write_at(int dir_fd, const std::string& path, const std::string& content);
/// "" and no failure when it is absent.
std::string read_at(int dir_fd, const std::string& path);
bool exists_at(int dir_fd, const std::string& path);

}  // namespace lxmgr::conformance
