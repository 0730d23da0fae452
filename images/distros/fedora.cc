// Fedora is installed by dnf from its own mirrors; its network is NetworkManager's.
#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/sysmacros.h>
#include <sys/utsname.h>

#include <algorithm>
#include <array>
#include <cstdlib>

#include "images/distros/distro.h"
#include "images/image_pack.h"
#include "images/machine_tree.h"
#include "images/pipeline.h"
#include "lxd-daemon/base/files.h"

namespace lxmgr::images {
namespace {

constexpr std::string_view kRawhide = "rawhide";
// Of a machine that is a Fedora itself. Elsewhere they come from Fedora, over TLS.
constexpr const char* kFedoraKeys = "/etc/pki/rpm-gpg/RPM-GPG-KEY-fedora-{}-{}";
constexpr const char* kFedoraKeysUrl = "https://fedoraproject.org/fedora.gpg";
constexpr const char* kMetalink = "https://mirrors.fedoraproject.org/metalink?repo={}&arch=$basearch";
constexpr std::array kFedoraPackages{"fedora-release",
                                     "glibc-minimal-langpack",
                                     "bash",
                                     "coreutils",
                                     "util-linux",
                                     "shadow-utils",
                                     "systemd",
                                     "systemd-resolved",
                                     "dbus",
                                     "NetworkManager",
                                     "iproute",
                                     "iputils",
                                     "hostname",
                                     "sudo",
                                     "procps-ng",
                                     "psmisc",
                                     "less",
                                     "nano",
                                     "tzdata",
                                     "ca-certificates",
                                     "dnf",
                                     "bash-completion",
                                     "rootfiles"};

/// One repository: what Fedora calls it, and its folder on a mirror.
struct Repository {
    std::string name, path;
};

std::vector<Repository> repositories(const std::string& release) {
    if (release == kRawhide) return {{"rawhide", "development/rawhide/Everything/$basearch/os/"}};
    return {{"fedora-" + release, fmt::format("releases/{}/Everything/$basearch/os/", release)},
            {"updates-released-f" + release, fmt::format("updates/{}/Everything/$basearch/", release)}};
}

std::string keys_of(const BuildRequest& request) {
    if (!request.keyring.empty()) return "file://" + request.keyring;
    utsname machine{};
    const bool known = ::uname(&machine) == 0;
    const std::string here =
        fmt::format(fmt::runtime(kFedoraKeys), request.release, known ? machine.machine : "");
    return path_exists(here) ? "file://" + here : kFedoraKeysUrl;
}

/// Nothing of this machine's own repositories, plugins and settings has a part in it.
std::string dnf_settings(const Installation& job) {
    const BuildRequest& request = job.request;
    std::string out = fmt::format(
        "[main]\ngpgcheck={}\nbest=1\ninstall_weak_deps=0\ntsflags=nodocs\nplugins=0\nkeepcache=0\n"
        "reposdir={}/none\nmodule_platform_id=platform:f{}\n",
        request.is_unsigned ? 0 : 1, job.work_dir, job.suite);
    std::string mirror = request.mirror;
    while (mirror.ends_with('/')) mirror.pop_back();
    for (const auto& [name, path] : repositories(job.suite)) {
        out += fmt::format("\n[{0}]\nname={0}\n", name);
        out += mirror.empty() ? fmt::format("metalink={}\n", fmt::format(fmt::runtime(kMetalink), name))
                              : fmt::format("baseurl={}/{}\n", mirror, path);
        if (!request.is_unsigned) out += fmt::format("gpgkey={}\n", keys_of(request));
    }
    return out;
}

Result<> check_fedora(const BuildRequest& request, const std::string& release) {
    const bool number = std::ranges::all_of(release, [](char c) { return c >= '0' && c <= '9'; });
    if (!number && release != kRawhide) {
        return fail(Status::bad_request,
                    fmt::format("'{}' is no release of Fedora: it is a number or '{}'", release, kRawhide));
    }
    if (request.init != "systemd") {
        return fail(Status::bad_request,
                    fmt::format("Fedora has systemd only, and not '{}' as its init", request.init));
    }
    if (request.components.empty()) return {};
    return fail(Status::bad_request, "Fedora's mirrors have no components; those are of Debian and Ubuntu");
}

/// What scripts of packages open; they go again when the tree is cleaned.
Result<> make_devices(const std::string& root) {
    struct Node {
        const char* name;
        unsigned minor;
    };
    LX_TRY(make_directory(root + "/dev", 0755));
    for (const auto& node :
         {Node{"null", 3}, Node{"zero", 5}, Node{"full", 7}, Node{"random", 8}, Node{"urandom", 9}}) {
        const std::string path = root + "/dev/" + node.name;
        if (::mknod(path.c_str(), S_IFCHR | 0666, ::makedev(1, node.minor)) != 0)
            return fail_errno("Making the device", path);
        if (::chmod(path.c_str(), 0666) != 0) return fail_errno("chmod", path);
    }
    return {};
}

/// dnf in a mount namespace where the new root has a /proc, which ends with it. unshare is called dnf, so
/// that an error names what the user knows.
Command dnf_command(const Installation& job) {
    Command out{.argv = {"dnf", "--mount-proc=" + job.root + "/proc", "--", "dnf", "--assumeyes",
                         "--config=" + job.work_dir + "/dnf.conf", "--installroot=" + job.root,
                         "--releasever=" + job.suite, "install"},
                .program = "unshare",
                // rpm reads .rpmmacros there.
                .extra_env = {"HOME=" + job.work_dir}};
    out.argv.insert(out.argv.end(), kFedoraPackages.begin(), kFedoraPackages.end());
    out.argv.insert(out.argv.end(), job.request.extra_packages.begin(), job.request.extra_packages.end());
    for (const char* name : {"http_proxy", "https_proxy", "no_proxy", "TMPDIR"}) {
        if (const char* value = std::getenv(name)) out.extra_env.push_back(fmt::format("{}={}", name, value));
    }
    return out;
}

Result<> install_fedora(const Installation& job) {
    if (!path_exists("/usr/bin/dnf")) {
        return fail(
            Status::not_found,
            fmt::format("Building fedora/{} needs dnf, which is not installed (Debian: dnf)", job.suite));
    }
    LX_TRY(make_directory(job.root, 0755));
    LX_TRY(make_directory(job.root + "/proc", 0555));
    LX_TRY(make_devices(job.root));
    LX_TRY(write_file_atomic(job.work_dir + "/dnf.conf", dnf_settings(job)));
    // Debian's rpm keeps its database in the home of who runs it; Fedora's looks for it here.
    LX_TRY(write_file_atomic(job.work_dir + "/.rpmmacros", "%_dbpath /usr/lib/sysimage/rpm\n"));
    std::string complaint;
    auto done = run_pipeline({dnf_command(job)}, job.stop, [&](std::string_view line) {
        if (line.starts_with("Error") || line.starts_with("  - "))
            complaint += (complaint.empty() ? "" : " ") + std::string(line);
        if (job.progress && !line.empty()) job.progress(std::string(line));
    });
    if (done || complaint.empty() || job.stop.stop_requested()) return done;
    return fail(Status::internal, fmt::format("Installing fedora/{}: {}", job.suite, complaint));
}

Result<> finish_fedora(const RootTree& tree, const Installation& job) {
    return finish_machine_tree(tree, job.init, "/etc/locale.conf");
}

}  // namespace

const Distro kFedora{.name = "fedora",
                     .title = "Fedora",
                     .suite = [](const std::string& release) { return release; },
                     .check = check_fedora,
                     .install = install_fedora,
                     .finish = finish_fedora,
                     .newest = [](const Installation& job) { return newest_file(job.root, job.began); }};

}  // namespace lxmgr::images
