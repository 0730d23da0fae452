#include "lxd-daemon/instances/idmaps.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "lxd-daemon/base/files.h"
#include "lxd-daemon/base/strings.h"

namespace lxmgr::instances {
namespace {

constexpr std::uint32_t kSmallestRange = 65536;
/// Owners live above 2^31: no distribution hands such uids out, and systemd's dynamic ranges lie far below.
constexpr std::uint32_t kOwnerFirst = 2'147'483'648U;
constexpr std::uint32_t kOwnersPerStateDir = 65536;
constexpr std::uint32_t kStateDirs = 16384;

std::string range_json(bool uid, const sys::IdRange& range) {
    return fmt::format(R"({{"Isuid":{},"Isgid":{},"Hostid":{},"Nsid":{},"Maprange":{}}})", uid, !uid,
                       range.host_first, range.container_first, range.count);
}

bool overlaps(const sys::IdMap& map, std::uint32_t uid) {
    return std::ranges::any_of(map.uids, [&](const sys::IdRange& range) {
        return uid >= range.host_first && uid - range.host_first < range.count;
    });
}

/// FNV-1a: the same directory must give the same range in every build of the daemon.
std::uint32_t hash(const std::string& text) {
    std::uint32_t value = 2166136261U;
    for (const char c : text) value = (value ^ static_cast<unsigned char>(c)) * 16777619U;
    return value;
}

}  // namespace

HostRange host_range(const std::string& subid_text) {
    for (const auto& line : split(subid_text, '\n')) {
        const auto fields = split(trim(line), ':');
        if (fields.size() != 3 || (fields[0] != "root" && fields[0] != "0")) continue;
        const auto first = parse_uint(fields[1]);
        const auto count = parse_uint(fields[2]);
        const bool usable = first && count && *first >= kSmallestRange && *count >= kSmallestRange &&
                            *first + *count <= UINT32_MAX;
        if (usable) return {static_cast<std::uint32_t>(*first), static_cast<std::uint32_t>(*count)};
    }
    return {};
}

std::string idmap_json(const sys::IdMap& map) {
    if (map.is_host()) return "[]";
    std::string out = "[";
    for (const auto& range : map.uids) out += range_json(true, range) + ",";
    for (const auto& range : map.gids) out += range_json(false, range) + ",";
    if (out.back() == ',') out.pop_back();
    return out + "]";
}

Result<sys::IdMap> idmap_from_json(const std::string& text) {
    const auto parsed = nlohmann::json::parse(text, nullptr, false);
    if (!parsed.is_array()) return fail(Status::internal, fmt::format("'{}' is no id map", text));
    if (parsed.empty()) return sys::IdMap::host();
    sys::IdMap map;
    for (const auto& entry : parsed) {
        const auto number = [&entry](const char* key) {
            const auto found = entry.is_object() ? entry.find(key) : entry.end();
            return found != entry.end() && found->is_number_unsigned() ? found->get<std::uint32_t>() : 0U;
        };
        const auto flag = [&entry](const char* key) {
            const auto found = entry.is_object() ? entry.find(key) : entry.end();
            return found != entry.end() && found->is_boolean() && found->get<bool>();
        };
        const sys::IdRange range{number("Nsid"), number("Hostid"), number("Maprange")};
        if (range.count == 0) return fail(Status::internal, fmt::format("'{}' is no id map", text));
        if (flag("Isuid")) map.uids.push_back(range);
        if (flag("Isgid")) map.gids.push_back(range);
    }
    return map;
}

std::uint32_t owner_uid(const std::string& state_dir, std::int64_t instance_id, const sys::IdMap& map) {
    const std::uint32_t slot = hash(state_dir) % kStateDirs;
    const auto number = static_cast<std::uint32_t>(instance_id) % kOwnersPerStateDir;
    std::uint32_t uid = kOwnerFirst + slot * kOwnersPerStateDir + number;
    while (overlaps(map, uid))
        uid += kOwnersPerStateDir;  // a map that reaches this far is rare: step out of it
    return uid;
}

}  // namespace lxmgr::instances
