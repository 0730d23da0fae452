#pragma once
#include <cstdint>
#include <vector>

#include "lxd-daemon/base/own.h"
#include "lxd-daemon/base/result.h"
#include "profiles/config_keys.h"

namespace lxmgr::devices {

/// What a listener on "[::]" takes.
enum class Families { own, both };

/// Where and as whom a proxy device listens.
struct ListenPlace {
    int root_fd = -1;  ///< beneath which a unix path is resolved
    std::uint32_t host_uid = 0, host_gid = 0;
    unsigned mode = 0644;
    Families families = Families::both;
};

/// Sockets of the calling thread's network namespace, one for each port, listening. A socket file that nobody
/// listens on is replaced.
Result<std::vector<UniqueFd>> listen_all(const profiles::ProxyAddress& address, const ListenPlace& place);
/// Removes a socket file that nobody listens on any more; what else is there stays.
void remove_socket(int root_fd, const std::string& path);

}  // namespace lxmgr::devices
