#pragma once
#include <string>

#include "lxmgr/client.h"

namespace lxmgr::cli {

/// An image that is to go from one server to another.
struct ImageTransfer {
    Json image;         ///< as the source shows it
    std::string alias;  ///< of it there, by which the target is to keep it up to date; empty: it is not
    bool is_public = false;
    std::string mode;  ///< "pull", "push" or "relay"; empty: the first that works
};
/// Returns when the target has it. Errors: those of both servers.
Result<> transfer_image(Client& source, Client& target, const ImageTransfer& wanted);

}  // namespace lxmgr::cli
