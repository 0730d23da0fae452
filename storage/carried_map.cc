#include "storage/carried_map.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <climits>

#include "lxd-daemon/base/strings.h"
#include "storage/tree/list.h"

namespace lxmgr::storage {
namespace {

constexpr const char* kFile = "idmap";

std::string ranges_to_name(char kind, const std::vector<sys::IdRange>& ranges) {
    std::string text;
    for (const auto& range : ranges) {
        text += fmt::format("{}{}{}-{}-{}", text.empty() ? "" : ",", kind, range.container_first,
                            range.host_first, range.count);
    }
    return text;
}

std::optional<sys::IdRange> parse_range(const std::string& text) {
    const auto parts = split(text, '-');
    if (parts.size() != 3) return std::nullopt;
    sys::IdRange range;
    std::uint32_t* const fields[] = {&range.container_first, &range.host_first, &range.count};
    for (std::size_t i = 0; i < 3; ++i) {
        const auto number = parse_uint(parts[i]);
        if (!number || *number > UINT32_MAX) return std::nullopt;
        *fields[i] = static_cast<std::uint32_t>(*number);
    }
    return range;
}

}  // namespace

Result<std::string> map_to_name(const sys::IdMap& map) {
    std::string name = fmt::format("{},{}", ranges_to_name('u', map.uids), ranges_to_name('g', map.gids));
    if (name.size() <= NAME_MAX) return name;
    return fail(Status::bad_request,
                "An id map of so many ranges needs idmapped mounts, which this host or file system has not");
}

std::optional<sys::IdMap> map_from_name(const std::string& name) {
    sys::IdMap map;
    for (const auto& part : split(name, ',')) {
        if (part.empty() || (part[0] != 'u' && part[0] != 'g')) return std::nullopt;
        const auto range = parse_range(part.substr(1));
        if (!range) return std::nullopt;
        (part[0] == 'u' ? map.uids : map.gids).push_back(*range);
    }
    return map;
}

Result<std::optional<sys::IdMap>> carried_map(int volume_fd) {
    std::string name(NAME_MAX + 1, '\0');
    const ssize_t n = ::readlinkat(volume_fd, kFile, name.data(), name.size());
    if (n < 0 && errno == ENOENT) return std::nullopt;
    if (n < 0) return fail_errno_at("readlink", volume_fd, kFile);
    name.resize(static_cast<std::size_t>(n));
    auto map = map_from_name(name);
    if (!map) return fail(Status::internal, fmt::format("A volume's idmap file holds '{}'", name));
    return map;
}

bool as_on_disk(const std::optional<sys::IdMap>& carried, const sys::IdMap* wanted) {
    if (wanted == nullptr) return true;
    return carried ? *carried == *wanted : wanted->is_host();
}

Result<> set_carried_map(int volume_fd, const sys::IdMap& map) {
    LX_TRY_AS(const std::string name, map_to_name(map));
    if (::symlinkat(name.c_str(), volume_fd, kFile) != 0) return fail_errno_at("symlink", volume_fd, kFile);
    return {};
}

}  // namespace lxmgr::storage
