#pragma once
#include <functional>
#include <memory>
#include <string>

#include "lxd-daemon/auth/authority.h"
#include "lxd-daemon/auth/certificate.h"

namespace lxmgr::rest {

/// The client behind a TLS connection: shared by its tunnel and its session. I/O thread only.
struct Remote {
    std::string host;                                      ///< IP address
    std::string counted_as;                                ///< by counted_host()
    std::string address;                                   ///< with the port
    std::shared_ptr<const auth::Certificate> certificate;  ///< null: it showed none
    std::weak_ptr<const auth::Authority> vouched_by{};  ///< expires when that authority is no longer trusted
    bool metrics_only = false;                          ///< came to core.metrics_address
    bool gone = false;                                  ///< has closed its side
    std::function<void()> on_gone{};
};

}  // namespace lxmgr::rest
