#pragma once
#include <string>
#include <vector>

#include "lxd-daemon/base/result.h"

namespace lxmgr::images {

/// Where packages come from.
struct AptMirrors {
    std::string archive;   ///< base URI of the distribution
    std::string security;  ///< base URI of its security updates; empty: none known
};

/// Finds the machine's own Debian mirrors in what `apt-get indextargets` printed with format
/// "$(REPO_URI) $(RELEASE) $(COMPONENT)"; deb.debian.org when there are none (another distribution's
/// machine).
AptMirrors debian_mirrors(const std::string& index_targets);
/// Asks apt, which knows all forms of source files. No network.
Result<AptMirrors> machine_mirrors();

/// "12" is "bookworm", "13" "trixie", "sid" and others stay.
std::string debian_suite(const std::string& release);
/// The lines of sources.list for a Debian suite: itself, and for a release its updates and security updates
/// too.
std::vector<std::string> debian_sources(const std::string& suite, const AptMirrors& mirrors,
                                        bool has_keyring);
inline constexpr const char* kDebianKeyring = "/usr/share/keyrings/debian-archive-keyring.gpg";

}  // namespace lxmgr::images
