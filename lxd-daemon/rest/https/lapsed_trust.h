#pragma once
#include <boost/asio/awaitable.hpp>
#include <memory>
#include <string>

#include "lxd-daemon/rest/https/tunnel.h"

namespace lxmgr::rest {

/// Ends connections that were trusted when they came and are so no longer, with the streams that they carry:
/// of certificates that have expired, and of those that their authority took back. I/O thread only.
class LapsedTrust {
public:
    /// Once a second while there are connections.
    boost::asio::awaitable<void> look(std::shared_ptr<TlsHosting> hosting);

private:
    /// True when another list of what was taken back is there, which nobody is writing any more.
    bool has_other_list(const auth::Authority& authority);

    std::string seen_, applied_;  ///< versions of that list
};

}  // namespace lxmgr::rest
