#pragma once
#include <cstdint>
#include <map>
#include <string>
#include <vector>

#include "lxd-daemon/base/result.h"

/// Private to the room: the ordered profiles of an instance or an image, kept as references.
namespace lxmgr::database {

class Connection;

struct ProfileLink {
    const char* table;  ///< "instance_profiles"
    const char* owner;  ///< its column that names the owner
};

/// owner id -> profile names in order.
Result<std::map<std::int64_t, std::vector<std::string>>> read_profiles(Connection& connection,
                                                                       const ProfileLink& link);
/// Errors: `bad_request` when a profile does not exist or is there twice.
Result<> replace_profiles(Connection& connection, const ProfileLink& link, std::int64_t owner_id,
                          const std::vector<std::string>& profiles);

}  // namespace lxmgr::database
