#pragma once
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "lxmgr/object.h"

namespace lxmgr::cli {

/// A public image server that the daemon fetches from.
struct StreamsRemote {
    std::string name, url;
};
/// images, ubuntu, ubuntu-daily and ubuntu-minimal, and those of the variable LXMGR_IMAGE_SERVERS
/// ("NAME=URL,NAME=URL"), which win.
std::vector<StreamsRemote> streams_remotes();

/// An image of such a server: "images:debian/13".
struct StreamsImage {
    StreamsRemote remote;
    std::string name;  ///< alias or fingerprint; may be empty
};
/// Null for a name without a remote that is known.
std::optional<StreamsImage> streams_image(std::string_view text);
/// The source of a request to the daemon.
Json source_of(const StreamsImage& image);

}  // namespace lxmgr::cli
