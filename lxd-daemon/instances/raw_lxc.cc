#include "lxd-daemon/instances/raw_lxc.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/mount.h>
#include <sys/stat.h>

#include <algorithm>
#include <charconv>

#include "lxd-daemon/base/strings.h"
#include "lxd-daemon/sys/mount.h"
#include "profiles/config_keys.h"

namespace lxmgr::instances {
namespace {

/// By their numbers, linux/capability.h.
constexpr std::string_view kCapabilities[] = {"chown",
                                              "dac_override",
                                              "dac_read_search",
                                              "fowner",
                                              "fsetid",
                                              "kill",
                                              "setgid",
                                              "setuid",
                                              "setpcap",
                                              "linux_immutable",
                                              "net_bind_service",
                                              "net_broadcast",
                                              "net_admin",
                                              "net_raw",
                                              "ipc_lock",
                                              "ipc_owner",
                                              "sys_module",
                                              "sys_rawio",
                                              "sys_chroot",
                                              "sys_ptrace",
                                              "sys_pacct",
                                              "sys_admin",
                                              "sys_boot",
                                              "sys_nice",
                                              "sys_resource",
                                              "sys_time",
                                              "sys_tty_config",
                                              "mknod",
                                              "lease",
                                              "audit_write",
                                              "audit_control",
                                              "setfcap",
                                              "mac_override",
                                              "mac_admin",
                                              "syslog",
                                              "wake_alarm",
                                              "block_suspend",
                                              "audit_read",
                                              "perfmon",
                                              "bpf",
                                              "checkpoint_restore"};
constexpr std::uint64_t kAllCapabilities = (std::uint64_t{1} << std::size(kCapabilities)) - 1;

struct MountFlag {
    std::string_view name;
    std::uint64_t attribute;
};
constexpr MountFlag kMountFlags[] = {{"ro", MOUNT_ATTR_RDONLY},
                                     {"nosuid", MOUNT_ATTR_NOSUID},
                                     {"nodev", MOUNT_ATTR_NODEV},
                                     {"noexec", MOUNT_ATTR_NOEXEC},
                                     {"noatime", MOUNT_ATTR_NOATIME},
                                     {"nodiratime", MOUNT_ATTR_NODIRATIME},
                                     {"nosymfollow", MOUNT_ATTR_NOSYMFOLLOW},
                                     {"rw", 0},
                                     {"relatime", 0},
                                     {"defaults", 0}};

std::unexpected<Error> not_meant(const std::string& why) { return fail(Status::bad_request, why); }

std::vector<std::string> words(std::string_view text) {
    std::vector<std::string> out;
    for (const std::string& one : split(text, ' '))
        if (!trim(one).empty()) out.emplace_back(trim(one));
    return out;
}

Result<std::uint64_t> capabilities(std::string_view value) {
    std::uint64_t set = 0;
    for (const std::string& name : words(value)) {
        const auto found = std::ranges::find(kCapabilities, std::string_view(name));
        if (found == std::end(kCapabilities))
            return not_meant(fmt::format("there is no capability '{}'", name));
        set |= std::uint64_t{1} << (found - std::begin(kCapabilities));
    }
    return set;
}

/// One line after the other; later ones add to earlier ones, as in LXC.
class Parser {
public:
    Result<> line(const std::string& key, const std::string& value) {
        if (key == "lxc.environment") return environment(value);
        if (key == "lxc.init.cmd") return init(value);
        if (key == "lxc.mount.entry") return mount(value);
        if (key == "lxc.apparmor.profile") return apparmor(value);
        if (key == "lxc.cap.drop" || key == "lxc.cap.keep") return capability(key, value);
        if (key.starts_with("lxc.sysctl.")) return sysctl(key, value);
        if (key == "lxc.cgroup.devices.allow" || key == "lxc.cgroup2.devices.allow") return device(value);
        for (const std::string_view prefix : {"lxc.cgroup2.", "lxc.cgroup."})
            if (key.starts_with(prefix)) return cgroup(key, key.substr(prefix.size()), value);
        if (key.starts_with("lxc.prlimit."))
            return not_meant(fmt::format("'{}' is set by limits.kernel.{}", key, key.substr(12)));
        if (key == "lxc.idmap") return not_meant("ids are mapped by raw.idmap");
        if (key.starts_with("lxc.seccomp.")) return not_meant("system calls are filtered by raw.seccomp");
        if (key.starts_with("lxc.net.")) return not_meant("interfaces are devices of type nic");
        return not_meant(fmt::format("'{}' is not supported", key));
    }

    Result<RawLxc> finish() {
        if (kept_ && dropped_ != 0) return not_meant("lxc.cap.drop and lxc.cap.keep exclude each other");
        raw_.extras.dropped_capabilities = kept_ ? kAllCapabilities & ~*kept_ : dropped_;
        return std::move(raw_);
    }

private:
    Result<> environment(const std::string& value) {
        if (value.find('=') == std::string::npos || value.starts_with('='))
            return not_meant("lxc.environment wants NAME=VALUE");
        raw_.environment.push_back(value);
        return {};
    }

    Result<> init(const std::string& value) {
        raw_.init = words(value);
        if (raw_.init.empty() || !raw_.init.front().starts_with('/'))
            return not_meant("lxc.init.cmd wants an absolute path");
        return {};
    }

    Result<> apparmor(const std::string& value) {
        raw_.unconfined = value == "unconfined";
        if (raw_.unconfined) return {};
        return not_meant("lxc.apparmor.profile can only be 'unconfined'; rules are added by raw.apparmor");
    }

    Result<> capability(const std::string& key, const std::string& value) {
        const bool keep = key.ends_with(".keep");
        if (keep && value == "none") {
            kept_ = kept_.value_or(0);
            return {};
        }
        LX_TRY_AS(const std::uint64_t set, capabilities(value));
        if (keep) {
            kept_ = kept_.value_or(0) | set;
        } else {
            dropped_ = value.empty() ? 0 : dropped_ | set;
        }
        return {};
    }

    Result<> sysctl(const std::string& key, const std::string& value) {
        LX_TRY_AS(const std::string path, profiles::sysctl_path(key.substr(sizeof "lxc.sysctl." - 1)));
        raw_.sysctls.push_back({"raw.lxc: " + key, path, value});
        return {};
    }

    /// "c 10:200 rwm", "b 8:* r", "a". What it may be used for is not told apart.
    Result<> device(const std::string& value) {
        const auto parts = words(value);
        if (parts.size() == 1 && parts[0] == "a") {
            raw_.extras.any_device = true;
            return {};
        }
        const auto number = [](std::string_view text) -> std::optional<unsigned> {
            unsigned out = 0;
            const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), out);
            return error == std::errc{} && end == text.data() + text.size() ? std::optional(out)
                                                                            : std::nullopt;
        };
        const auto numbers = parts.size() >= 2 ? split(parts[1], ':') : std::vector<std::string>{};
        const bool kind = parts.size() == 3 && (parts[0] == "b" || parts[0] == "c") && parts[2] == "rwm";
        const auto major = numbers.size() == 2 ? number(numbers[0]) : std::nullopt;
        const auto minor = numbers.size() == 2 ? number(numbers[1]) : std::nullopt;
        if (!kind || !major || (!minor && numbers[1] != "*"))
            return not_meant(
                fmt::format("'{}' is no device rule: 'a', or 'c MAJOR:MINOR rwm', 'b MAJOR:* rwm'", value));
        raw_.extras.devices.push_back({parts[0] == "b", *major, minor});
        return {};
    }

    Result<> cgroup(const std::string& key, const std::string& file, const std::string& value) {
        const bool unified = key.starts_with("lxc.cgroup2.");
        const bool plain = std::ranges::all_of(file, [](unsigned char c) {
            return (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9') || c == '_' || c == '.';
        });
        const auto dot = file.find('.');
        if (!plain || dot == 0 || dot == std::string::npos || file.starts_with("cgroup.") ||
            file.starts_with("devices.") || file.find("..") != std::string::npos)
            return not_meant(fmt::format("'{}' is not a file that can be set", key));
        if (value.empty()) return not_meant(fmt::format("'{}' has no value", key));
        raw_.extras.cgroup_values.push_back(
            {"raw.lxc: " + key, unified ? std::string() : file.substr(0, dot), file, value});
        return {};
    }

    /// fstab(5): source, target, type, options.
    Result<> mount(const std::string& value) {
        const auto parts = words(value);
        if (parts.size() < 4) return not_meant("lxc.mount.entry wants SOURCE TARGET TYPE OPTIONS");
        RawLxc::Mount mount;
        mount.source = parts[0];
        mount.target = parts[1];
        mount.bind = parts[2] != "tmpfs";
        bool bind_said = false;
        for (const std::string& option : split(parts[3], ',')) {
            LX_TRY_AS(const bool is_bind, mount_option(mount, option));
            bind_said = bind_said || is_bind;
        }
        if (mount.bind && !bind_said)
            return not_meant("lxc.mount.entry can be a bind mount (option bind or rbind) or a tmpfs");
        if (mount.bind && !mount.source.starts_with('/'))
            return not_meant(
                fmt::format("lxc.mount.entry: the source '{}' is no absolute path", mount.source));
        raw_.mounts.push_back(std::move(mount));
        return {};
    }

    /// @return whether it says that the mount is a bind mount
    static Result<bool> mount_option(RawLxc::Mount& mount, const std::string& option) {
        if (option == "bind" || option == "rbind") {
            mount.recursive = mount.recursive || option == "rbind";
            return true;
        }
        if (option == "optional") {
            mount.optional = true;
            return false;
        }
        // What is missing is made, and as what its source is.
        if (option == "create=dir" || option == "create=file") return false;
        const auto flag = std::ranges::find(kMountFlags, std::string_view(option), &MountFlag::name);
        if (flag != std::end(kMountFlags)) {
            mount.attributes |= flag->attribute;
            return false;
        }
        const auto equals = option.find('=');
        const std::string name = option.substr(0, equals);
        const bool sized = name == "size" || name == "mode" || name == "nr_inodes";
        if (mount.bind || !sized || equals == std::string::npos)
            return not_meant(fmt::format("lxc.mount.entry: option '{}' is not supported", option));
        mount.options.emplace_back(name, option.substr(equals + 1));
        return false;
    }

    RawLxc raw_;
    std::uint64_t dropped_ = 0;
    std::optional<std::uint64_t> kept_;
};

Result<UniqueFd> mount_of(const RawLxc::Mount& mount) {
    if (mount.bind) {
        LX_TRY_AS(UniqueFd tree, sys::clone_mount(AT_FDCWD, mount.source, mount.recursive));
        if (mount.attributes != 0)
            LX_TRY(sys::change_attributes(tree.get(), mount.attributes, 0, mount.recursive));
        return tree;
    }
    LX_TRY_AS(auto context, sys::FsContext::open("tmpfs"));
    LX_TRY(context.set("source", "none"));
    for (const auto& [name, value] : mount.options) LX_TRY(context.set(name, value));
    LX_TRY(context.create());
    return context.mount(static_cast<unsigned>(mount.attributes));
}

}  // namespace

Result<RawLxc> parse_raw_lxc(std::string_view text) {
    Parser parser;
    int number = 0;
    for (const std::string& line : split(text, '\n')) {
        ++number;
        const std::string_view plain = trim(line);
        if (plain.empty() || plain.starts_with('#')) continue;
        const auto equals = plain.find('=');
        const auto at = fmt::format("raw.lxc: line {}", number);
        if (equals == std::string_view::npos)
            return std::unexpected(in(at, Error{Status::bad_request, "no '='"}));
        const std::string key{trim(plain.substr(0, equals))}, value{trim(plain.substr(equals + 1))};
        if (auto done = parser.line(key, value); !done)
            return std::unexpected(in(at, std::move(done).error()));
    }
    auto raw = parser.finish();
    if (!raw) return std::unexpected(in("raw.lxc", std::move(raw).error()));
    return raw;
}

Result<std::vector<RawMountTree>> make_raw_mounts(const RawLxc& raw) {
    std::vector<RawMountTree> out;
    for (const auto& mount : raw.mounts) {
        auto tree = mount_of(mount);
        if (!tree && mount.optional && tree.error().status == Status::not_found) continue;
        if (!tree) {
            Error error = in(fmt::format("raw.lxc: mounting '{}'", mount.source), std::move(tree).error());
            error.status = Status::bad_request;
            return std::unexpected(std::move(error));
        }
        struct stat info{};
        if (::fstat(tree->get(), &info) != 0) return fail_errno("fstat", mount.source);
        out.push_back({*std::move(tree), mount.target, S_ISDIR(info.st_mode)});
    }
    return out;
}

}  // namespace lxmgr::instances
