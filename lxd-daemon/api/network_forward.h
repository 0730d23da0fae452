#pragma once
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "lxd-daemon/api/types.h"
#include "lxd-daemon/base/result.h"

namespace lxmgr::api {

struct NetworkForwardPort {
    std::string description, protocol, listen_port, target_port, target_address;
};

/// What arrives at an address of the host, or one routed to it, goes to instances.
struct NetworkForward {
    std::string listen_address, description;
    ConfigMap config;
    std::vector<NetworkForwardPort> ports;
};
nlohmann::json to_json(const NetworkForward& forward);
/// What PUT writes; also how it is stored.
nlohmann::json writable_fields(const NetworkForward& forward);
nlohmann::json etag_fields(const NetworkForward& forward);
/// The body of PUT and, beside the address, of POST.
Result<NetworkForward> parse_network_forward(const nlohmann::json& body);
/// The body of PATCH: a list of ports replaces the one that is there.
Result<NetworkForward> patch_network_forward(const nlohmann::json& body, NetworkForward current);

}  // namespace lxmgr::api
