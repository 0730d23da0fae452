#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "lxd-daemon/base/result.h"

namespace lxmgr::cli {

class Client;
class Args;

/// What `lxmgr publish NAME 8080:80` asks for, in the terms of a proxy device.
struct PortSpec {
    std::string protocol;        ///< "tcp" or "udp"
    std::string listen, target;  ///< "tcp:[::]:8080", "tcp:[::]:80"
    std::string name;            ///< of the device, unless the user gives one: "port-8080", "port-53-udp"
};

/// [ADDRESS:]PORT[:PORT][/PROTOCOL], each PORT a number or a range of them, IPv6 addresses in brackets. True
/// for what begins like it: whatever else is wrong with it.
bool looks_like_ports(std::string_view text);
/// Errors: `bad_request` that says what is wrong.
Result<PortSpec> parse_port_spec(std::string_view text);
/// `lxmgr publish` and `lxmgr port add`: each a device of the instance; --name of the arguments is for one
/// alone.
Result<int> publish_ports(Client& client, const Args& args, const std::string& instance,
                          const std::vector<std::string>& ports);

}  // namespace lxmgr::cli
