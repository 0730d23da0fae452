#pragma once
#include <cstdint>
#include <nlohmann/json_fwd.hpp>
#include <string>
#include <vector>

#include "lxd-daemon/api/types.h"
#include "lxd-daemon/base/result.h"

namespace lxmgr::api {

/// A DNS zone of networks.
struct NetworkZone {
    std::string name, description;
    ConfigMap config;
    std::vector<std::string> used_by;
};
nlohmann::json to_json(const NetworkZone& zone);
/// What PUT writes; also how it is stored.
nlohmann::json writable_fields(const NetworkZone& zone);
nlohmann::json etag_fields(const NetworkZone& zone);
/// The body of PUT and, beside the name, of POST.
Result<NetworkZone> parse_network_zone(const nlohmann::json& body);
Result<NetworkZone> patch_network_zone(const nlohmann::json& body, NetworkZone current);

struct ZoneRecordEntry {
    std::string type, value;
    std::uint32_t ttl = 0;  ///< 0: 300
};
/// Entries of one name of a zone that a user has made.
struct ZoneRecord {
    std::string name, description;
    ConfigMap config;
    std::vector<ZoneRecordEntry> entries;
};
nlohmann::json to_json(const ZoneRecord& record);
nlohmann::json writable_fields(const ZoneRecord& record);
Result<ZoneRecord> parse_zone_record(const nlohmann::json& body);
Result<ZoneRecord> patch_zone_record(const nlohmann::json& body, ZoneRecord current);

}  // namespace lxmgr::api
