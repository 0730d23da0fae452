#pragma once
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "lxd-daemon/database/database.h"

namespace lxmgr::instances {

/// Who has a custom volume among its disk devices.
struct VolumeUsers {
    std::vector<std::string> instances;  ///< by their own devices or those of their profiles
    std::vector<std::string> profiles;
    bool daemon = false;  ///< keeps images or backups there
    [[nodiscard]] std::vector<std::string> urls() const;
    [[nodiscard]] bool empty() const { return instances.empty() && profiles.empty() && !daemon; }
};

/// The users of all volumes at the moment it was made.
class VolumeUserIndex {
public:
    explicit VolumeUserIndex(database::Database& database);
    [[nodiscard]] VolumeUsers of(const std::string& pool, const std::string& name) const;

private:
    std::map<std::pair<std::string, std::string>, VolumeUsers> users_;  ///< by pool and name
};

/// Lets all devices of instances and profiles that name the one volume name the other. Inside a transaction.
Result<> redirect_users(database::Database& database, const database::VolumeRecord& from,
                        const database::VolumeRecord& to);

}  // namespace lxmgr::instances
