#include <fmt/format.h>

#include <algorithm>
#include <optional>

#include "lxd-daemon/base/files.h"
#include "lxd-daemon/base/strings.h"
#include "lxd-daemon/instances/idmaps.h"
#include "lxd-daemon/instances/settings.h"
#include "profiles/config_keys.h"

namespace lxmgr::instances {
namespace {

constexpr std::uint32_t kUsualSize = 65536;
constexpr std::size_t kMaxRanges = 340;  // user_namespaces(7)

using Ranges = std::vector<sys::IdRange>;

std::vector<HostRange> root_lines(const std::string& text) {
    std::vector<HostRange> out;
    for (const auto& line : split(text, '\n')) {
        const auto fields = split(trim(line), ':');
        if (fields.size() != 3 || (fields[0] != "root" && fields[0] != "0")) continue;
        const auto first = parse_uint(fields[1]);
        const auto count = parse_uint(fields[2]);
        if (first && count && *count > 0 && *first < UINT32_MAX && *count <= UINT32_MAX - *first)
            out.push_back({static_cast<std::uint32_t>(*first), static_cast<std::uint32_t>(*count)});
    }
    return out;
}

bool contains(const HostRange& range, std::uint32_t first, std::uint32_t count) {
    return first >= range.first && first - range.first < range.count &&
           count <= range.count - (first - range.first);
}

/// Ids that are uids and gids of the daemon's alike: an own range has one base for both.
HostRange common(const HostIds& host) {
    const std::uint32_t first = std::max(host.uids.first, host.gids.first);
    const std::uint32_t end = std::min(host.uids.first + host.uids.count, host.gids.first + host.gids.count);
    return {first, end > first ? end - first : 0};
}

/// How many of a range are everybody's.
std::uint32_t shared_count(const HostRange& range) {
    const std::uint32_t half = range.count / 2;
    return half < kUsualSize ? range.count : half;
}

bool meets(const Ranges& ranges, std::uint32_t first, std::uint32_t count) {
    return std::ranges::any_of(ranges, [&](const sys::IdRange& range) {
        return first < range.host_first + range.count && range.host_first < first + count;
    });
}
bool is_free(const std::vector<sys::IdMap>& taken, std::uint32_t first, std::uint32_t count) {
    return std::ranges::none_of(taken, [&](const sys::IdMap& map) {
        return meets(map.uids, first, count) || meets(map.gids, first, count);
    });
}

/// The first gap among the ranges of others, in the part of the host's ids that is nobody's yet.
std::optional<std::uint32_t> find_gap(const HostIds& host, std::uint32_t size,
                                      const std::vector<sys::IdMap>& taken) {
    const HostRange range = common(host);
    const std::uint32_t end = range.first + range.count;
    std::vector<std::uint32_t> candidates{
        std::max(host.uids.first + shared_count(host.uids), host.gids.first + shared_count(host.gids))};
    for (const sys::IdMap& map : taken) {
        for (const Ranges* ranges : {&map.uids, &map.gids})
            for (const sys::IdRange& one : *ranges)
                if (const auto after = one.host_first + one.count; after > candidates.front())
                    candidates.push_back(after);
    }
    std::ranges::sort(candidates);
    for (const std::uint32_t first : candidates) {
        if (first < end && size <= end - first && is_free(taken, first, size)) return first;
    }
    return std::nullopt;
}

Result<std::uint32_t> choose_base(const HostIds& host, const IdmapWish& wish, std::uint32_t size,
                                  const IdmapChoice& before, const std::vector<sys::IdMap>& taken) {
    if (wish.base != 0) {
        const HostRange range = common(host);
        if (!contains(range, wish.base, size))
            return fail(
                Status::bad_request,
                fmt::format("security.idmap.base {}: {} ids from there are not all within this host's {} "
                            "to {}",
                            wish.base, size, range.first, range.first + range.count - 1));
        if (!is_free(taken, wish.base, size))
            return fail(Status::bad_request,
                        fmt::format("security.idmap.base {}: {} ids from there overlap another instance's",
                                    wish.base, size));
        return wish.base;
    }
    const bool keep = before.base != 0 && is_free(taken, before.base, size) &&
                      before.map == sys::IdMap{{{0, before.base, size}}, {{0, before.base, size}}};
    if (keep) return before.base;
    const auto found = find_gap(host, size, taken);
    if (found) return *found;
    return fail(
        Status::bad_request,
        fmt::format("security.idmap.isolated: there are not {} ids left on this host that no other instance "
                    "has: extend root's range in /etc/subuid and /etc/subgid",
                    size));
}

/// What is left of a range without [first, first + count) of the ids that `start` tells.
void cut(Ranges& ranges, std::uint32_t sys::IdRange::* start, std::uint32_t first, std::uint32_t count) {
    Ranges out;
    for (const sys::IdRange& range : ranges) {
        const std::uint32_t own = range.*start;
        const std::uint64_t end = std::uint64_t{first} + count;
        const std::uint64_t own_end = std::uint64_t{own} + range.count;
        if (first >= own_end || own >= end) {
            out.push_back(range);
            continue;
        }
        if (first > own) out.push_back({range.container_first, range.host_first, first - own});
        if (end < own_end) {
            const auto skipped = static_cast<std::uint32_t>(end - own);
            out.push_back(
                {range.container_first + skipped, range.host_first + skipped, range.count - skipped});
        }
    }
    ranges = std::move(out);
}

Result<> put_range(Ranges& ranges, const HostRange& own, const std::vector<HostRange>& more,
                   const profiles::RawIdmapEntry& entry, const char* file) {
    const bool allowed = contains(own, entry.host_first, entry.count) ||
                         std::ranges::any_of(more, [&](const HostRange& range) {
                             return contains(range, entry.host_first, entry.count);
                         });
    if (!allowed)
        return fail(Status::bad_request,
                    fmt::format("raw.idmap: host ids {}-{} are not root's to give: add a line for them to {}",
                                entry.host_first, entry.host_first + entry.count - 1, file));
    cut(ranges, &sys::IdRange::container_first, entry.container_first, entry.count);
    cut(ranges, &sys::IdRange::host_first, entry.host_first, entry.count);
    ranges.push_back({entry.container_first, entry.host_first, entry.count});
    std::ranges::sort(ranges, {}, &sys::IdRange::container_first);
    if (ranges.size() <= kMaxRanges) return {};
    return fail(Status::bad_request, "raw.idmap: more ranges than the kernel takes");
}

}  // namespace

HostIds HostIds::parse(const std::string& subuid, const std::string& subgid) {
    return {host_range(subuid), host_range(subgid), root_lines(subuid), root_lines(subgid)};
}

HostIds HostIds::read() {
    return parse(read_file("/etc/subuid").value_or(""), read_file("/etc/subgid").value_or(""));
}

sys::IdMap HostIds::shared() const {
    return {{{0, uids.first, shared_count(uids)}}, {{0, gids.first, shared_count(gids)}}};
}

Result<IdmapWish> idmap_wish(const api::ConfigMap& expanded) {
    const auto number = [&expanded](const char* key) {
        const auto found = expanded.find(key);
        return found == expanded.end() ? 0U
                                       : static_cast<std::uint32_t>(parse_uint(found->second).value_or(0));
    };
    IdmapWish wish;
    wish.privileged = flag_of(expanded, "security.privileged");
    wish.isolated = flag_of(expanded, "security.idmap.isolated");
    wish.base = number("security.idmap.base");
    wish.size = number("security.idmap.size");
    if (const auto raw = expanded.find("raw.idmap"); raw != expanded.end()) wish.raw = raw->second;
    if (wish.privileged && (wish.own_range() || wish.size != 0 || !wish.raw.empty()))
        return fail(
            Status::bad_request,
            "security.privileged: such an instance has no id map, which security.idmap.* or raw.idmap could "
            "change");
    return wish;
}

Result<sys::IdMap> with_raw_idmap(const HostIds& host, sys::IdMap map, const std::string& raw) {
    LX_TRY_AS(const auto entries, profiles::parse_raw_idmap(raw));
    for (const auto& entry : entries) {
        if (entry.uids) LX_TRY(put_range(map.uids, host.uids, host.more_uids, entry, "/etc/subuid"));
        if (entry.gids) LX_TRY(put_range(map.gids, host.gids, host.more_gids, entry, "/etc/subgid"));
    }
    return map;
}

Result<IdmapChoice> choose_idmap(const HostIds& host, const IdmapWish& wish, const IdmapChoice& before,
                                 const std::vector<sys::IdMap>& taken) {
    if (wish.privileged) return IdmapChoice{sys::IdMap::host(), 0};
    IdmapChoice choice;
    if (wish.own_range()) {
        const std::uint32_t size = wish.size != 0 ? wish.size : kUsualSize;
        LX_TRY_AS(choice.base, choose_base(host, wish, size, before, taken));
        choice.map = {{{0, choice.base, size}}, {{0, choice.base, size}}};
    } else {
        choice.map = host.shared();
        const auto most = std::min(choice.map.uids[0].count, choice.map.gids[0].count);
        if (wish.size > most)
            return fail(Status::bad_request,
                        fmt::format("security.idmap.size {}: instances share no more than {} ids here",
                                    wish.size, most));
        if (wish.size != 0) choice.map.uids[0].count = choice.map.gids[0].count = wish.size;
    }
    LX_TRY_AS(choice.map, with_raw_idmap(host, std::move(choice.map), wish.raw));
    return choice;
}

}  // namespace lxmgr::instances
