#include "lxd-daemon/api/migration.h"

#include <nlohmann/json.hpp>

#include "lxd-daemon/api/json_reader.h"

namespace lxmgr::api {

Result<MigrationPeer> parse_migration_peer(const nlohmann::json& object, const std::string& prefix) {
    MigrationPeer out;
    Reader reader(object, prefix);
    reader.text("operation", out.operation).text("certificate", out.certificate);
    // LXD's structure calls them websockets, and its JSON secrets.
    reader.map("secrets", out.secrets);
    LX_TRY(reader.done());
    if (out.operation.empty()) return fail(Status::bad_request, "The other server's operation is not named");
    for (const char* name : {"control", "fs"}) {
        if (!out.secrets.contains(name) || out.secrets[name].empty())
            return fail(Status::bad_request,
                        std::string("The secret of the websocket '") + name + "' is missing");
    }
    return out;
}

}  // namespace lxmgr::api
