// Ubuntu is installed as Debian is, from its own mirror, with its own keys; its network is netplan's.
#include <fmt/format.h>

#include "images/distros/apt.h"
#include "images/image_pack.h"
#include "images/machine_tree.h"
#include "lxd-daemon/base/files.h"

namespace lxmgr::images {
namespace {

constexpr const char* kUbuntuKeyring = "/usr/share/keyrings/ubuntu-archive-keyring.gpg";

Result<std::vector<std::string>> ubuntu_lines(const Installation& job) {
    const BuildRequest& request = job.request;
    AptMirrors mirrors{request.mirror, request.mirror};
    if (request.mirror.empty()) {
        LX_TRY_AS(mirrors, ubuntu_machine_mirrors());
    }
    return ubuntu_sources(job.suite, mirrors, access_here(request, kUbuntuKeyring, {"main", "universe"}));
}

/// Before an hour of fetching: a mirror of Ubuntu that nobody here can check.
Result<> check_ubuntu(const BuildRequest& request, const std::string& suite) {
    if (request.init != "systemd") {
        return fail(Status::bad_request,
                    fmt::format("Ubuntu has systemd only, and not '{}' as its init", request.init));
    }
    if (request.is_unsigned || !request.keyring.empty() || path_exists(kUbuntuKeyring)) return {};
    return fail(Status::bad_request,
                fmt::format("The signatures of ubuntu/{} cannot be checked: {} is not here; give Ubuntu's "
                            "keyring with --keyring, or take the packages as they come with --unsigned",
                            suite, kUbuntuKeyring));
}

Result<> install_ubuntu(const Installation& job) {
    std::vector<std::string> packages = machine_packages(job.init, job.suite);
    packages.emplace_back("netplan.io");
    packages.insert(packages.end(), job.request.extra_packages.begin(), job.request.extra_packages.end());
    LX_TRY_AS(const auto lines, ubuntu_lines(job));
    return install_by_apt(job, packages, lines);
}

Result<> finish_ubuntu(const RootTree& tree, const Installation& job) {
    LX_TRY(finish_machine_tree(tree, job.init));
    LX_TRY_AS(const auto lines, ubuntu_lines(job));
    return carry_keyring(tree, job.request, lines);
}

}  // namespace

const Distro kUbuntu{.name = "ubuntu",
                     .title = "Ubuntu",
                     .suite = ubuntu_suite,
                     .check = check_ubuntu,
                     .install = install_ubuntu,
                     .finish = finish_ubuntu,
                     .newest = [](const Installation& job) { return newest_package(job.root); }};

}  // namespace lxmgr::images
