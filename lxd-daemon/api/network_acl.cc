#include "lxd-daemon/api/network_acl.h"

#include <fmt/format.h>

#include <nlohmann/json.hpp>

#include "lxd-daemon/api/common.h"
#include "lxd-daemon/api/json_reader.h"

namespace lxmgr::api {
namespace {

constexpr std::size_t kMaxRules = 1000;

struct RuleField {
    const char* key;
    std::string NetworkAclRule::* member;
};
constexpr RuleField kOptional[] = {
    {"description", &NetworkAclRule::description}, {"source", &NetworkAclRule::source},
    {"destination", &NetworkAclRule::destination}, {"protocol", &NetworkAclRule::protocol},
    {"source_port", &NetworkAclRule::source_port}, {"destination_port", &NetworkAclRule::destination_port},
    {"icmp_type", &NetworkAclRule::icmp_type},     {"icmp_code", &NetworkAclRule::icmp_code},
};

/// LXD leaves empty fields out.
nlohmann::json to_json(const NetworkAclRule& rule) {
    nlohmann::json out{{"action", rule.action}, {"state", rule.state}};
    for (const RuleField& field : kOptional) {
        if (!(rule.*field.member).empty()) out[field.key] = rule.*field.member;
    }
    return out;
}

nlohmann::json to_json(const std::vector<NetworkAclRule>& rules) {
    auto out = nlohmann::json::array();
    for (const auto& rule : rules) out.push_back(to_json(rule));
    return out;
}

Result<> read_rules(Reader& reader, const char* key, std::vector<NetworkAclRule>& out) {
    const auto* array = reader.array(key);
    if (array == nullptr) return {};
    if (array->size() > kMaxRules)
        return fail(Status::bad_request, fmt::format("{}: more than {} rules", key, kMaxRules));
    out.clear();
    for (const auto& entry : *array) {
        if (!entry.is_object()) return fail(Status::bad_request, fmt::format("{} must hold objects", key));
        NetworkAclRule rule;
        Reader fields(entry, fmt::format("{}.", key));
        fields.text("action", rule.action).text("state", rule.state);
        for (const RuleField& field : kOptional) fields.text(field.key, rule.*field.member);
        LX_TRY(fields.done());
        if (rule.state.empty()) rule.state = "enabled";
        out.push_back(std::move(rule));
    }
    return {};
}

}  // namespace

nlohmann::json writable_fields(const NetworkAcl& acl) {
    return {{"description", acl.description},
            {"config", acl.config},
            {"ingress", to_json(acl.ingress)},
            {"egress", to_json(acl.egress)}};
}

nlohmann::json etag_fields(const NetworkAcl& acl) {
    auto out = writable_fields(acl);
    out["name"] = acl.name;
    return out;
}

nlohmann::json to_json(const NetworkAcl& acl) {
    auto out = etag_fields(acl);
    out["used_by"] = acl.used_by;
    return out;
}

Result<NetworkAcl> parse_network_acl(const nlohmann::json& body) {
    NetworkAcl out;
    Reader reader(body);
    reader.text("name", out.name).text("description", out.description).map("config", out.config);
    LX_TRY(read_rules(reader, "ingress", out.ingress));
    LX_TRY(read_rules(reader, "egress", out.egress));
    LX_TRY(reader.done());
    drop_empty(out.config);
    return out;
}

Result<NetworkAcl> patch_network_acl(const nlohmann::json& body, NetworkAcl current) {
    ConfigMap config;
    Reader reader(body);
    reader.text("description", current.description).map("config", config);
    LX_TRY(read_rules(reader, "ingress", current.ingress));
    LX_TRY(read_rules(reader, "egress", current.egress));
    LX_TRY(reader.done());
    merge_config(config, current.config);
    return current;
}

}  // namespace lxmgr::api
