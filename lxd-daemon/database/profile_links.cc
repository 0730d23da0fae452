#include "lxd-daemon/database/profile_links.h"

#include <fmt/format.h>

#include <algorithm>

#include "lxd-daemon/database/connection.h"

namespace lxmgr::database {

Result<std::map<std::int64_t, std::vector<std::string>>> read_profiles(Connection& connection,
                                                                       const ProfileLink& link) {
    std::map<std::int64_t, std::vector<std::string>> out;
    const std::string sql = fmt::format(
        "SELECT {0}, name FROM {1} JOIN profiles ON profiles.id = profile_id ORDER BY {0}, position",
        link.owner, link.table);
    LX_TRY_AS(auto rows, connection.prepare(sql));
    while (true) {
        LX_TRY_AS(const bool more, rows.step());
        if (!more) return out;
        out[rows.integer(0)].push_back(rows.string(1));
    }
}

Result<> replace_profiles(Connection& connection, const ProfileLink& link, std::int64_t owner_id,
                          const std::vector<std::string>& profiles) {
    LX_TRY(connection.execute(fmt::format("DELETE FROM {} WHERE {}=?", link.table, link.owner), owner_id));
    const std::string sql =
        fmt::format("INSERT INTO {} ({}, position, profile_id) VALUES (?,?,?)", link.table, link.owner);
    for (std::size_t i = 0; i < profiles.size(); ++i) {
        const auto profile = connection.memory.profiles.find(profiles[i]);
        if (!profile) {
            return fail(Status::bad_request,
                        fmt::format("Requested profile '{}' doesn't exist", profiles[i]));
        }
        if (std::find(profiles.begin(), profiles.begin() + static_cast<std::ptrdiff_t>(i), profiles[i]) !=
            profiles.begin() + static_cast<std::ptrdiff_t>(i)) {
            return fail(Status::bad_request, fmt::format("Profile '{}' is given twice", profiles[i]));
        }
        LX_TRY(connection.execute(sql, owner_id, static_cast<std::int64_t>(i), profile->id));
    }
    return {};
}

}  // namespace lxmgr::database
