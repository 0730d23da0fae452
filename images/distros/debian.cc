#include "images/distros/apt.h"
#include "images/image_pack.h"
#include "images/machine_tree.h"
#include "lxd-daemon/base/files.h"

namespace lxmgr::images {
namespace {

Result<std::vector<std::string>> debian_lines(const Installation& job) {
    const BuildRequest& request = job.request;
    LX_TRY_AS(AptMirrors mirrors, debian_machine_mirrors());
    if (!request.mirror.empty()) mirrors = {request.mirror, ""};
    return debian_sources(job.suite, mirrors, access_here(request, kDebianKeyring, {"main"}));
}

Result<> check_debian(const BuildRequest& request, const std::string&) {
    LX_TRY(find_machine_init(request.init));
    return {};
}

Result<> install_debian(const Installation& job) {
    std::vector<std::string> packages = machine_packages(job.init, job.suite);
    packages.insert(packages.end(), job.request.extra_packages.begin(), job.request.extra_packages.end());
    LX_TRY_AS(const auto lines, debian_lines(job));
    return install_by_apt(job, packages, lines);
}

Result<> finish_debian(const RootTree& tree, const Installation& job) {
    LX_TRY(finish_machine_tree(tree, job.init));
    LX_TRY_AS(const auto lines, debian_lines(job));
    return carry_keyring(tree, job.request, lines);
}

}  // namespace

const Distro kDebian{.name = "debian",
                     .title = "Debian",
                     .suite = debian_suite,
                     .check = check_debian,
                     .install = install_debian,
                     .finish = finish_debian,
                     .newest = [](const Installation& job) { return newest_package(job.root); }};

}  // namespace lxmgr::images
