#pragma once
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "lxd-daemon/api/types.h"
#include "lxd-daemon/base/result.h"

namespace lxmgr::api {

/// One rule, as its user wrote it; empty fields match anything.
struct NetworkAclRule {
    std::string action, state, description;
    std::string source, destination, protocol, source_port, destination_port, icmp_type, icmp_code;
    bool operator==(const NetworkAclRule&) const = default;
};

struct NetworkAcl {
    std::string name, description;
    ConfigMap config;
    std::vector<NetworkAclRule> ingress, egress;
    std::vector<std::string> used_by;
};
nlohmann::json to_json(const NetworkAcl& acl);
/// What PUT writes; also how it is stored.
nlohmann::json writable_fields(const NetworkAcl& acl);
nlohmann::json etag_fields(const NetworkAcl& acl);

/// The body of PUT and, beside the name, of POST.
Result<NetworkAcl> parse_network_acl(const nlohmann::json& body);
/// The body of PATCH: lists of rules replace those that are there.
Result<NetworkAcl> patch_network_acl(const nlohmann::json& body, NetworkAcl current);

}  // namespace lxmgr::api
