#pragma once
#include <string>
#include <vector>

#include "images/apt_sources.h"
#include "images/distros/distro.h"

/// What Debian and Ubuntu have in common: mmdebstrap installs them.
namespace lxmgr::images {

/// How the mirror is read while the image is built, on this machine.
/// @param keyring  the distribution's own, used where none was given and it is there
AptAccess access_here(const BuildRequest& request, const char* keyring, std::vector<std::string> components);
/// Errors: `internal` with what mmdebstrap said last, `not_found` when it is not installed.
Result<> install_by_apt(const Installation& job, const std::vector<std::string>& packages,
                        const std::vector<std::string>& sources);
/// Lets the image's own apt read a mirror that was given with a keyring: that is carried into it, since its
/// place on this machine means nothing there.
Result<> carry_keyring(const RootTree& tree, const BuildRequest& request,
                       const std::vector<std::string>& sources);

}  // namespace lxmgr::images
