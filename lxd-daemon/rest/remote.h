#pragma once
#include <functional>
#include <memory>
#include <string>

#include "lxd-daemon/auth/certificate.h"

namespace lxmgr::rest {

/// The client behind a TLS connection: shared by its tunnel and its session. I/O thread only.
struct Remote {
    std::string host;                                      ///< IP address
    std::string address;                                   ///< with the port
    std::shared_ptr<const auth::Certificate> certificate;  ///< null: it showed none
    bool metrics_only = false;                             ///< came to core.metrics_address
    bool gone = false;                                     ///< has closed its side
    std::function<void()> on_gone{};
};

}  // namespace lxmgr::rest
