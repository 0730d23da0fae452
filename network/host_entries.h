#pragma once
#include <string>
#include <vector>

#include "lxd-daemon/base/result.h"
#include "network/bridge.h"
#include "network/bridge_config.h"

namespace lxmgr::network {

/// The directory of dnsmasq's --dhcp-hostsdir, one file per claim. dnsmasq watches it and reads a file that
/// appears at once; what was replaced or removed it forgets only when told to read everything again (SIGHUP).
/// Nothing here is synced to disk: it is all made again from the claims at the daemon's start.
class HostEntries {
public:
    /// @param staging a directory on the same file system, which dnsmasq does not watch
    HostEntries(std::string directory, std::string staging);

    /// Makes the directory hold exactly these claims. True: dnsmasq must read again.
    Result<bool> sync(const std::vector<AddressClaim>& claims, const BridgeConfig& config);
    /// True: an older entry was replaced, dnsmasq must read again.
    Result<bool> write(const AddressClaim& claim, const BridgeConfig& config);
    /// True: there was one, dnsmasq must read again.
    Result<bool> erase(const AddressClaim& claim);
    Result<> remove_all();
    [[nodiscard]] const std::string& directory() const { return directory_; }

private:
    std::string directory_;
    std::string staging_;
};

}  // namespace lxmgr::network
