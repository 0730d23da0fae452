#pragma once
#include <span>
#include <string>

#include "lxd-daemon/base/result.h"

/// Private to the room: the tables. A change of the schema is a new row in schema.cc; old rows are never
/// edited.
namespace lxmgr::database {

class Connection;

struct Migration {
    int version;       ///< 1, 2, 3, ...: stored as sqlite's user_version
    const char* what;  ///< for people
    const char* sql;   ///< any number of statements; runs in one transaction with the change of user_version
};
std::span<const Migration> migrations();

/// Brings the database up to the newest version. Errors: it is newer than this program, or not ours.
Result<> migrate(Connection& connection, const std::string& path);

}  // namespace lxmgr::database
