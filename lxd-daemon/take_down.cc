#include "lxd-daemon/take_down.h"

#include "lxd-daemon/base/files.h"
#include "lxd-daemon/database/database.h"
#include "lxd-daemon/state_dir.h"
#include "lxd-daemon/sys/cgroup_parent.h"
#include "network/bridge.h"
#include "network/parent_network.h"

namespace lxmgr {

Result<> take_down_networks(const Options& options) {
    const std::string database_path = options.root + "/database/lxmgr.db";
    if (!path_exists(database_path)) return {};
    LX_TRY_AS(const UniqueFd lock, prepare_state_dir(options.root));
    LX_TRY_AS(const auto database, database::Database::open(database_path));
    for (const auto& record : database->networks().list()) {
        if (network::is_on_parent(record->type)) continue;
        LX_TRY_AS(const auto bridge,
                  network::Bridge::open(record->name, options.root + "/networks/" + record->name));
        LX_TRY(bridge->remove());
    }
    return sys::remove_cgroup_parent(cgroup_name(options.root));
}

}  // namespace lxmgr
