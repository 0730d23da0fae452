#include "network/dnsmasq_user.h"

#include <fmt/format.h>
#include <pwd.h>
#include <sys/stat.h>

#include <optional>
#include <vector>

namespace lxmgr::network {
namespace {

struct Ids {
    uid_t uid;
    gid_t gid;
};

std::optional<Ids> find_user(const char* name) {
    passwd entry{};
    passwd* found = nullptr;
    std::vector<char> buffer(16384);
    if (::getpwnam_r(name, &entry, buffer.data(), buffer.size(), &found) != 0 || found == nullptr)
        return std::nullopt;
    return Ids{entry.pw_uid, entry.pw_gid};
}

bool can_search(const struct stat& st, const Ids& user) {
    if (st.st_uid == user.uid) return (st.st_mode & S_IXUSR) != 0;
    if (st.st_gid == user.gid) return (st.st_mode & S_IXGRP) != 0;
    return (st.st_mode & S_IXOTH) != 0;
}

}  // namespace

const char* dnsmasq_user() { return find_user("dnsmasq") ? "dnsmasq" : "nobody"; }

Result<> check_reachable(const std::string& directory) {
    const auto user = find_user(dnsmasq_user());
    if (!user)
        return fail(Status::unavailable,
                    "dnsmasq needs a user to run as: neither 'dnsmasq' nor 'nobody' exists");
    for (std::size_t end = directory.find('/', 1);; end = directory.find('/', end + 1)) {
        const std::string part = directory.substr(0, end);
        struct stat st{};
        if (::stat(part.c_str(), &st) != 0) return fail_errno("stat", part);
        if (!can_search(st, *user)) {
            return fail(
                Status::unavailable,
                fmt::format("Directory '{}' is closed to user '{}', as whom dnsmasq reads the addresses of "
                            "instances: chmod o+x it, or give the daemon another state directory",
                            part, dnsmasq_user()));
        }
        if (end == std::string::npos) return {};
    }
}

}  // namespace lxmgr::network
