#pragma once
#include "lxmgr/simplestreams_remotes.h"

namespace lxmgr::cli {

/// What the server has, as GET /1.0/images?recursion=1 would show it. Asked by this program's own side
/// (lxmgr-image-list), not by the daemon.
Result<Json> list_streams(const StreamsRemote& remote);
/// The first that has the alias, or a fingerprint that begins with it. Errors: `not_found`.
Result<Json> find_streams_image(const StreamsImage& image);

}  // namespace lxmgr::cli
