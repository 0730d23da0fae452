#pragma once
#include <memory>

#include "lxd-daemon/api/migration.h"
#include "lxd-daemon/migration/link.h"
#include "lxd-daemon/rest/https/dial.h"
#include "lxd-daemon/rest/meeting.h"
#include "lxd-daemon/rest/services.h"

namespace lxmgr::rest {

struct PeerToDial {
    api::MigrationPeer where;
    Reach reach = Reach::anywhere;
};

/// Websockets "control" and "fs" that others connect to.
std::shared_ptr<migration::Link> meeting_link(Services& services, std::shared_ptr<Meeting> meeting);
/// The same, of another server. Errors: `bad_request` for a URL that is none.
Result<std::shared_ptr<migration::Link>> dialling_link(Services& services, PeerToDial peer);

}  // namespace lxmgr::rest
