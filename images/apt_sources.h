#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "lxd-daemon/base/result.h"

namespace lxmgr::images {

/// Where packages come from.
struct AptMirrors {
    std::string archive;   ///< base URI of the distribution
    std::string security;  ///< base URI of its security updates; empty: none known
};

/// How their packages are read.
struct AptAccess {
    std::string options;  ///< of each line of sources.list, such as "[trusted=yes] "; empty: none
    std::vector<std::string> components{"main"};
};

/// Finds the machine's own Debian mirrors in what `apt-get indextargets` printed with format
/// "$(REPO_URI) $(RELEASE) $(COMPONENT)"; deb.debian.org when there are none (another distribution's
/// machine).
AptMirrors debian_mirrors(const std::string& index_targets);
/// The same of Ubuntu. Without any they are Ubuntu's own for this architecture, as uname(2) says it: others
/// than x86 are elsewhere.
AptMirrors ubuntu_mirrors(const std::string& index_targets, std::string_view architecture);
/// Ask apt, which knows all forms of source files. No network.
Result<AptMirrors> debian_machine_mirrors();
Result<AptMirrors> ubuntu_machine_mirrors();

/// "12" is "bookworm", "13" "trixie", "sid" and others stay.
std::string debian_suite(const std::string& release);
/// "24.04" is "noble"; others stay.
std::string ubuntu_suite(const std::string& release);
/// The lines of sources.list for a suite: itself, and for a release its updates and security updates too.
std::vector<std::string> debian_sources(const std::string& suite, const AptMirrors& mirrors,
                                        const AptAccess& access);
std::vector<std::string> ubuntu_sources(const std::string& suite, const AptMirrors& mirrors,
                                        const AptAccess& access);
inline constexpr const char* kDebianKeyring = "/usr/share/keyrings/debian-archive-keyring.gpg";

}  // namespace lxmgr::images
