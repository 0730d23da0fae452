#include "lxd-daemon/instances/own_idmap.h"

#include "lxd-daemon/base/strings.h"
#include "lxd-daemon/instances/idmaps.h"

namespace lxmgr::instances {
namespace {

constexpr const char* kBase = "volatile.idmap.base";
constexpr const char* kNext = "volatile.idmap.next";
constexpr const char* kCurrent = "volatile.idmap.current";

std::optional<sys::IdMap> map_in(const api::ConfigMap& config, const char* key) {
    const auto found = config.find(key);
    if (found == config.end()) return std::nullopt;
    auto map = idmap_from_json(found->second);
    return map ? std::optional(std::move(*map)) : std::nullopt;
}

std::uint32_t base_in(const api::ConfigMap& config) {
    const auto found = config.find(kBase);
    return found == config.end() ? 0 : static_cast<std::uint32_t>(parse_uint(found->second).value_or(0));
}

/// What of a map is not everybody's: a range of its own, and what raw.idmap names elsewhere.
sys::IdMap own_part(sys::IdMap map, const sys::IdMap& shared) {
    const auto drop = [](std::vector<sys::IdRange>& ranges, const sys::IdRange& all) {
        std::erase_if(ranges, [&all](const sys::IdRange& range) {
            return range.host_first >= all.host_first &&
                   std::uint64_t{range.host_first} + range.count <= std::uint64_t{all.host_first} + all.count;
        });
    };
    drop(map.uids, shared.uids.front());
    drop(map.gids, shared.gids.front());
    return map;
}

/// What others have for themselves, now or from their next start on.
std::vector<sys::IdMap> taken_by_others(const Context& context, const std::string& name) {
    std::vector<sys::IdMap> taken;
    const sys::IdMap shared = context.host_ids.shared();
    for (const auto& record : context.rows().list()) {
        if (record->name == name) continue;
        if (auto map = map_in(record->config, kNext); map && !map->is_host()) {
            const bool own_range = base_in(record->config) != 0;
            taken.push_back(own_range ? std::move(*map) : own_part(std::move(*map), shared));
        }
        // Still in use by one that is to give it up.
        auto current = map_in(record->config, kCurrent);
        const bool runs = context.live.get(record->name).status != api::StatusCode::stopped;
        if (runs && current && !current->is_host()) taken.push_back(own_part(std::move(*current), shared));
    }
    return taken;
}

}  // namespace

std::unique_lock<std::mutex> lock_idmaps(Context& context, const api::ConfigMap& expanded) {
    std::unique_lock lock(context.idmap_mutex, std::defer_lock);
    if (const auto wish = idmap_wish(expanded); wish && wish->own_range()) lock.lock();
    return lock;
}

Result<> assign_idmap(const Context& context, const api::ConfigMap& expanded,
                      database::InstanceRecord& record) {
    LX_TRY_AS(const IdmapWish wish, idmap_wish(expanded));
    IdmapChoice before{next_idmap(context, record.config), base_in(record.config)};
    std::vector<sys::IdMap> taken;
    if (wish.own_range()) taken = taken_by_others(context, record.name);
    LX_TRY_AS(const IdmapChoice choice, choose_idmap(context.host_ids, wish, before, taken));
    record.config[kBase] = std::to_string(choice.base);
    record.config[kNext] = idmap_json(choice.map);
    return {};
}

Result<database::InstanceRecord> take_idmap(Context& context, const api::ConfigMap& expanded,
                                            const database::InstanceRecord& record) {
    const auto lock = lock_idmaps(context, expanded);
    database::InstanceRecord after = record;
    LX_TRY(assign_idmap(context, expanded, after));
    after.config[kCurrent] = after.config[kNext];
    if (after.config == record.config) return after;
    const database::ConfigChanges changes{
        {kBase, after.config[kBase]}, {kNext, after.config[kNext]}, {kCurrent, after.config[kCurrent]}};
    LX_TRY(context.rows().change_config(record.name, changes, true));
    return after;
}

sys::IdMap next_idmap(const Context& context, const api::ConfigMap& config) {
    return map_in(config, kNext).value_or(context.host_ids.shared());
}

sys::IdMap current_idmap(const Context& context, const api::ConfigMap& config) {
    return map_in(config, kCurrent).value_or(context.host_ids.shared());
}

}  // namespace lxmgr::instances
