#include "network/host_entries.h"

#include <dirent.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <memory>
#include <set>

#include "lxd-daemon/base/files.h"
#include "lxd-daemon/base/own.h"
#include "network/dnsmasq.h"

namespace lxmgr::network {
namespace {

constexpr std::size_t kEntryBytes = 4096;

/// A whole file appears by one rename: dnsmasq never sees half of it, nor the temporary name.
Result<> replace_file(const std::string& path, const std::string& staging, const std::string& content) {
    const std::string temporary = staging + "/host-entry.new";
    const UniqueFd fd(::open(temporary.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644));
    if (!fd) return fail_errno("Creating", temporary);
    if (::fchmod(fd.get(), 0644) != 0)
        return fail_errno("fchmod", temporary);  // dnsmasq has left root behind by then
    if (::write(fd.get(), content.data(), content.size()) != static_cast<ssize_t>(content.size())) {
        return fail_errno("Writing", temporary);
    }
    if (::rename(temporary.c_str(), path.c_str()) != 0) return fail_errno("Renaming to", path);
    return {};
}

Result<bool> erase_file(const std::string& path) {
    if (::unlink(path.c_str()) == 0) return true;
    if (errno == ENOENT) return false;
    return fail_errno("Removing", path);
}

std::vector<std::string> file_names(const std::string& directory) {
    std::vector<std::string> out;
    const std::unique_ptr<DIR, int (*)(DIR*)> dir(::opendir(directory.c_str()), ::closedir);
    while (const dirent* entry = dir ? ::readdir(dir.get()) : nullptr) {
        const std::string_view name = entry->d_name;
        if (name != "." && name != "..") out.emplace_back(name);
    }
    return out;
}

}  // namespace

HostEntries::HostEntries(std::string directory, std::string staging)
    : directory_(std::move(directory)), staging_(std::move(staging)) {}

Result<bool> HostEntries::sync(const std::vector<AddressClaim>& claims, const BridgeConfig& config) {
    LX_TRY(make_directory(directory_, 0755));
    std::set<std::string> wanted;
    for (const auto& claim : claims) wanted.insert(host_file_name(claim));
    bool stale = false;
    for (const auto& name : file_names(directory_)) {
        if (wanted.contains(name)) continue;
        LX_TRY_AS(const bool erased, erase_file(directory_ + "/" + name));
        stale = stale || erased;
    }
    for (const auto& claim : claims) {
        LX_TRY_AS(const bool replaced, write(claim, config));
        stale = stale || replaced;
    }
    return stale;
}

Result<bool> HostEntries::write(const AddressClaim& claim, const BridgeConfig& config) {
    const std::string path = fmt::format("{}/{}", directory_, host_file_name(claim));
    const std::string content = host_entry(claim, config);
    const auto held = read_file(path, kEntryBytes);
    if (held && *held == content) return false;
    LX_TRY(replace_file(path, staging_, content));
    return held || held.error().status != Status::not_found;
}

Result<bool> HostEntries::erase(const AddressClaim& claim) {
    return erase_file(fmt::format("{}/{}", directory_, host_file_name(claim)));
}

Result<> HostEntries::remove_all() { return remove_tree(directory_); }

}  // namespace lxmgr::network
