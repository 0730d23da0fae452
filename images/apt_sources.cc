#include "images/apt_sources.h"

#include <fmt/format.h>

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
constexpr std::array kReleases{Release{"11", "bullseye"}, Release{"12", "bookworm"}, Release{"13", "trixie"},
                               Release{"14", "forky"}, Release{"15", "duke"}};
constexpr std::array<std::string_view, 6> kRolling{"sid",          "unstable", "testing",
                                                   "experimental", "rc-buggy", "forky"};
constexpr std::array<std::string_view, 3> kClasses{"stable", "oldstable", "oldoldstable"};

bool is_debian_suite(std::string_view name) {
    return std::ranges::any_of(kReleases, [&](const Release& r) { return r.codename == name; }) ||
           std::ranges::find(kRolling, name) != kRolling.end() ||
           std::ranges::find(kClasses, name) != kClasses.end();
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

Result<AptMirrors> machine_mirrors() {
    Command command{.argv = {"apt-get", "indextargets", "--format", "$(REPO_URI) $(RELEASE) $(COMPONENT)",
                             "Created-By: Packages"},
                    .timeout = std::chrono::seconds(30)};
    LX_TRY_AS(const std::string targets, run_checked(command));
    return debian_mirrors(targets);
}

std::string debian_suite(const std::string& release) {
    for (const auto& known : kReleases) {
        if (known.number == release) return std::string(known.codename);
    }
    return release;
}

std::vector<std::string> debian_sources(const std::string& suite, const AptMirrors& mirrors,
                                        bool has_keyring) {
    const std::string options = has_keyring ? fmt::format("[signed-by={}] ", kDebianKeyring) : "";
    std::vector<std::string> out{fmt::format("deb {}{} {} main", options, mirrors.archive, suite)};
    const bool released = std::ranges::find(kRolling, suite) == kRolling.end();
    if (released) out.push_back(fmt::format("deb {}{} {}-updates main", options, mirrors.archive, suite));
    if (released && !mirrors.security.empty()) {
        out.push_back(fmt::format("deb {}{} {}-security main", options, mirrors.security, suite));
    }
    return out;
}

}  // namespace lxmgr::images
