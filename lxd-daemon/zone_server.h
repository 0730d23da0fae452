#pragma once
#include <boost/asio/io_context.hpp>
#include <memory>
#include <string>

#include "lxd-daemon/base/result.h"
#include "lxd-daemon/instances/network_zones.h"

namespace lxmgr {

/// Gives zones to the DNS servers that are their peers: transfers (AXFR, RFC 5936) over TCP, SOA over both.
/// Everybody else is refused. Lives on the I/O thread; nothing is open while no address is given.
class ZoneServer {
public:
    ZoneServer(boost::asio::io_context& io, const instances::NetworkZones& zones);
    ~ZoneServer();
    ZoneServer(ZoneServer&&) = delete;
    /// core.dns_address: "ADDRESS[:PORT]"; empty: nowhere. Errors: `bad_request`, and then the old one stays.
    Result<> listen(const std::string& address);
    void close();

private:
    struct Listener;
    boost::asio::io_context& io_;
    const instances::NetworkZones& zones_;
    std::string address_;
    std::shared_ptr<Listener> listener_;
};

}  // namespace lxmgr
