#include "lxd-daemon/api/network_zone.h"

#include <nlohmann/json.hpp>

#include "lxd-daemon/api/common.h"
#include "lxd-daemon/api/json_reader.h"

namespace lxmgr::api {
namespace {

constexpr std::size_t kMaxEntries = 1000;

Result<> read_entries(Reader& reader, std::vector<ZoneRecordEntry>& out) {
    const auto* array = reader.array("entries");
    if (array == nullptr) return {};
    if (array->size() > kMaxEntries) return fail(Status::bad_request, "entries: more than 1000 of them");
    out.clear();
    for (const auto& entry : *array) {
        if (!entry.is_object()) return fail(Status::bad_request, "entries must hold objects");
        ZoneRecordEntry one;
        Reader fields(entry, "entries.");
        LX_TRY(fields.text("type", one.type).text("value", one.value).number("ttl", one.ttl).done());
        out.push_back(std::move(one));
    }
    return {};
}

}  // namespace

nlohmann::json writable_fields(const NetworkZone& zone) {
    return {{"description", zone.description}, {"config", zone.config}};
}
nlohmann::json etag_fields(const NetworkZone& zone) {
    auto out = writable_fields(zone);
    out["name"] = zone.name;
    return out;
}
nlohmann::json to_json(const NetworkZone& zone) {
    auto out = etag_fields(zone);
    out["used_by"] = zone.used_by;
    return out;
}

Result<NetworkZone> parse_network_zone(const nlohmann::json& body) {
    NetworkZone out;
    Reader reader(body);
    LX_TRY(
        reader.text("name", out.name).text("description", out.description).map("config", out.config).done());
    drop_empty(out.config);
    return out;
}

Result<NetworkZone> patch_network_zone(const nlohmann::json& body, NetworkZone current) {
    ConfigMap config;
    Reader reader(body);
    LX_TRY(reader.text("description", current.description).map("config", config).done());
    merge_config(config, current.config);
    return current;
}

nlohmann::json writable_fields(const ZoneRecord& record) {
    auto entries = nlohmann::json::array();
    for (const auto& entry : record.entries) {
        nlohmann::json one{{"type", entry.type}, {"value", entry.value}};
        if (entry.ttl != 0) one["ttl"] = entry.ttl;
        entries.push_back(std::move(one));
    }
    return {{"description", record.description}, {"config", record.config}, {"entries", std::move(entries)}};
}
nlohmann::json to_json(const ZoneRecord& record) {
    auto out = writable_fields(record);
    out["name"] = record.name;
    return out;
}

Result<ZoneRecord> parse_zone_record(const nlohmann::json& body) {
    ZoneRecord out;
    Reader reader(body);
    reader.text("name", out.name).text("description", out.description).map("config", out.config);
    LX_TRY(read_entries(reader, out.entries));
    LX_TRY(reader.done());
    drop_empty(out.config);
    return out;
}

Result<ZoneRecord> patch_zone_record(const nlohmann::json& body, ZoneRecord current) {
    ConfigMap config;
    Reader reader(body);
    reader.text("description", current.description).map("config", config);
    LX_TRY(read_entries(reader, current.entries));
    LX_TRY(reader.done());
    merge_config(config, current.config);
    return current;
}

}  // namespace lxmgr::api
