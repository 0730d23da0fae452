#include "images/apt_sources.h"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <sys/utsname.h>

#include <algorithm>
#include <array>
#include <string_view>

#include "lxd-daemon/base/spawn.h"
#include "lxd-daemon/base/strings.h"

namespace lxmgr::images {
namespace {

struct Release {
    std::string_view number;
    std::string_view codename;
};
constexpr std::array kReleases{Release{"9", "stretch"},   Release{"10", "buster"}, Release{"11", "bullseye"},
                               Release{"12", "bookworm"}, Release{"13", "trixie"}, Release{"14", "forky"},
                               Release{"15", "duke"}};
constexpr std::array kUbuntuReleases{Release{"18.04", "bionic"},   Release{"20.04", "focal"},
                                     Release{"22.04", "jammy"},    Release{"24.04", "noble"},
                                     Release{"24.10", "oracular"}, Release{"25.04", "plucky"},
                                     Release{"25.10", "questing"}, Release{"26.04", "resolute"}};
constexpr std::array<std::string_view, 6> kRolling{"sid",          "unstable", "testing",
                                                   "experimental", "rc-buggy", "forky"};
constexpr std::array<std::string_view, 3> kClasses{"stable", "oldstable", "oldoldstable"};

bool is_debian_suite(std::string_view name) {
    return std::ranges::any_of(kReleases, [&](const Release& r) { return r.codename == name; }) ||
           std::ranges::find(kRolling, name) != kRolling.end() ||
           std::ranges::find(kClasses, name) != kClasses.end();
}

/// What apt's sources come to, one index of packages a line: URI, release, component.
Result<std::string> ask_apt() {
    Command command{.argv = {"apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE) $(COMPONENT)",
                             "Created-By: Packages"},
                    .timeout = std::chrono::seconds(30)};
    return run_checked(command);
}

template <typename Releases>
std::string codename_of(const Releases& releases, const std::string& given) {
    for (const auto& known : releases) {
        if (known.number == given) return std::string(known.codename);
    }
    return given;
}

std::string source_line(const AptAccess& access, const std::string& uri, const std::string& suite) {
    return fmt::format("deb {}{} {} {}", access.options, uri, suite, fmt::join(access.components, " "));
}

}  // namespace

AptMirrors debian_mirrors(const std::string& index_targets) {
    AptMirrors out;
    for (const auto& line : split(index_targets, '\n')) {
        const auto fields = split(line, ' ');
        if (fields.size() != 3 || fields[2] != "main") continue;
        const auto& [uri, release] = std::tie(fields[0], fields[1]);
        // Other vendors' repositories use the same release names; Debian's mirrors all have this in their
        // path.
        if (out.archive.empty() && is_debian_suite(release) && (uri + "/").contains("/debian/"))
            out.archive = uri;
        if (out.security.empty() && release.ends_with("-security") && uri.contains("debian-security"))
            out.security = uri;
    }
    if (out.archive.empty()) return {"http://deb.debian.org/debian", "http://deb.debian.org/debian-security"};
    return out;
}

AptMirrors ubuntu_mirrors(const std::string& index_targets, std::string_view architecture) {
    AptMirrors out;
    for (const auto& line : split(index_targets, '\n')) {
        const auto fields = split(line, ' ');
        if (fields.size() != 3 || fields[2] != "main") continue;
        const std::string uri = fields[0] + "/";
        // Ubuntu's mirrors all have one of these in their path, and other vendors' repositories for it have
        // more.
        if (!uri.contains("/ubuntu/") && !uri.contains("/ubuntu-ports/")) continue;
        const bool known = std::ranges::any_of(
            kUbuntuReleases, [&](const Release& r) { return fields[1].starts_with(r.codename); });
        if (!known) continue;
        const bool security = fields[1].ends_with("-security");
        std::string& place = security ? out.security : out.archive;
        if (place.empty()) place = fields[0];
    }
    if (!out.archive.empty()) return {out.archive, out.security.empty() ? out.archive : out.security};
    const bool x86 = architecture == "x86_64" || architecture == "i686";
    if (!x86) return {"http://ports.ubuntu.com/ubuntu-ports", "http://ports.ubuntu.com/ubuntu-ports"};
    return {"http://archive.ubuntu.com/ubuntu", "http://security.ubuntu.com/ubuntu"};
}

Result<AptMirrors> debian_machine_mirrors() {
    LX_TRY_AS(const std::string targets, ask_apt());
    return debian_mirrors(targets);
}

Result<AptMirrors> ubuntu_machine_mirrors() {
    LX_TRY_AS(const std::string targets, ask_apt());
    utsname name{};
    if (::uname(&name) != 0) return fail_errno("uname", "");
    return ubuntu_mirrors(targets, name.machine);
}

std::string debian_suite(const std::string& release) { return codename_of(kReleases, release); }

std::string ubuntu_suite(const std::string& release) { return codename_of(kUbuntuReleases, release); }

std::vector<std::string> debian_sources(const std::string& suite, const AptMirrors& mirrors,
                                        const AptAccess& access) {
    std::vector<std::string> out{source_line(access, mirrors.archive, suite)};
    const bool released = std::ranges::find(kRolling, suite) == kRolling.end();
    if (released) out.push_back(source_line(access, mirrors.archive, suite + "-updates"));
    if (released && !mirrors.security.empty()) {
        // Its name before Debian 11.
        const bool old = suite == "stretch" || suite == "buster";
        out.push_back(source_line(access, mirrors.security, suite + (old ? "/updates" : "-security")));
    }
    return out;
}

std::vector<std::string> ubuntu_sources(const std::string& suite, const AptMirrors& mirrors,
                                        const AptAccess& access) {
    return {source_line(access, mirrors.archive, suite),
            source_line(access, mirrors.archive, suite + "-updates"),
            source_line(access, mirrors.security, suite + "-security")};
}

}  // namespace lxmgr::images
