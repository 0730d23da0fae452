#include "images/build.h"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <filesystem>

#include "images/cloud_seed.h"
#include "images/distros/distro.h"
#include "images/image_pack.h"
#include "images/machine_init.h"
#include "lxd-daemon/base/files.h"
#include "lxd-daemon/base/strings.h"

namespace lxmgr::images {
namespace {

bool is_plain_name(std::string_view text, std::string_view more) {
    return !text.empty() && std::isalnum(static_cast<unsigned char>(text.front())) != 0 &&
           std::ranges::all_of(text, [&](char c) {
               return std::isalnum(static_cast<unsigned char>(c)) != 0 || more.contains(c);
           });
}

Result<> check_keyring(const BuildRequest& request) {
    if (request.keyring.empty()) return {};
    if (request.is_unsigned)
        return fail(Status::bad_request,
                    "A keyring checks signatures, which unsigned leaves out; give one of them");
    // It stands in a line of apt's sources, and in an ini file of dnf's.
    const bool plain = request.keyring.front() == '/' &&
                       request.keyring.find_first_of(" ,[]\"'\\") == std::string::npos &&
                       !has_control_chars(request.keyring);
    if (!plain) {
        return fail(
            Status::bad_request,
            fmt::format("'{}' is no usable path of a keyring: it is absolute, without spaces, commas and "
                        "brackets",
                        request.keyring));
    }
    if (path_exists(request.keyring)) return {};
    return fail(Status::bad_request, fmt::format("There is no keyring {}", request.keyring));
}

Result<> check(const BuildRequest& request) {
    if (!is_plain_name(request.release, "-.")) {
        return fail(Status::bad_request, fmt::format("'{}' is no release name", request.release));
    }
    for (const auto& package : request.extra_packages) {
        if (!is_plain_name(package, "+-.:_"))
            return fail(Status::bad_request, fmt::format("'{}' is no package name", package));
    }
    for (const auto& component : request.components) {
        if (!is_plain_name(component, "-./"))
            return fail(Status::bad_request, fmt::format("'{}' is no component of a mirror", component));
    }
    const bool uri =
        request.mirror.contains("://") && !request.mirror.contains(' ') && !has_control_chars(request.mirror);
    if (!request.mirror.empty() && !uri) {
        return fail(Status::bad_request, fmt::format("'{}' is no mirror URI", request.mirror));
    }
    return check_keyring(request);
}

Metadata describe(const Distro& distro, const Installation& job, std::string_view architecture,
                  std::chrono::sys_seconds newest) {
    Metadata out;
    const std::string name(distro.title);
    const std::string serial =
        fmt::format("{:%Y%m%d}", fmt::gmtime(std::chrono::system_clock::to_time_t(newest)));
    out.architecture = architecture;
    out.creation_date = newest;
    out.properties = {{"architecture", std::string(architecture)},
                      {"description", fmt::format("{} {} {} ({})", name, job.suite, architecture, serial)},
                      {"os", name},
                      {"release", job.suite},
                      {"serial", serial},
                      {"variant", job.init.name == "systemd" ? "default" : std::string(job.init.name)}};
    const Template by_name{
        .when = {"create", "copy", "rename"}, .create_only = false, .source = "", .properties = {}};
    for (const auto& [path, source] :
         {std::pair{"/etc/hostname", "hostname.tpl"}, std::pair{"/etc/hosts", "hosts.tpl"}}) {
        out.templates[path] = by_name;
        out.templates[path].source = source;
    }
    return out;
}

std::vector<TextFile> templates() {
    return {{"hostname.tpl", "{{ container.name }}\n"},
            {"hosts.tpl",
             "127.0.0.1\tlocalhost\n127.0.1.1\t{{ container.name }}\n\n"
             "::1\t\tlocalhost ip6-localhost "
             "ip6-loopback\nff02::1\t\tip6-allnodes\nff02::2\t\tip6-allrouters\n"}};
}

Result<std::string> machine_architecture() {
    utsname name{};
    if (::uname(&name) != 0) return fail_errno("uname", "");
    return std::string(name.machine);
}

Result<> pack(const Distro& distro, const Installation& job) {
    LX_TRY_AS(const std::chrono::sys_seconds newest, distro.newest(job));
    LX_TRY_AS(const std::string architecture, machine_architecture());
    LX_TRY(pack_rootfs(job.root, job.work_dir + "/rootfs.squashfs", newest, job.stop));
    auto metadata = describe(distro, job, architecture, newest);
    auto files = templates();
    if (path_exists(job.root + "/usr/bin/cloud-init")) add_cloud_seed(metadata, files);
    return pack_metadata(metadata, files, job.work_dir + "/metadata.tar.xz");
}

Result<> build_in(const Distro& distro, const Installation& job) {
    LX_TRY(distro.install(job));
    if (job.progress) job.progress("setting up the machine image...");
    LX_TRY_AS(const RootTree tree, RootTree::open(job.root));
    LX_TRY(distro.finish(tree, job));
    if (job.progress) job.progress("packing...");
    return pack(distro, job);
}

Result<> move_out(const std::string& work_dir, const ImageFiles& out) {
    if (::rename((work_dir + "/rootfs.squashfs").c_str(), out.rootfs_path.c_str()) != 0)
        return fail_errno("Renaming to", out.rootfs_path);
    if (::rename((work_dir + "/metadata.tar.xz").c_str(), out.metadata_path.c_str()) != 0)
        return fail_errno("Renaming to", out.metadata_path);
    return {};
}

Result<std::string> absolute_path(const std::string& path) {
    std::error_code error;
    std::string out = path.empty() ? path : std::filesystem::absolute(path, error).native();
    if (error) return fail(Status::bad_request, fmt::format("{}: {}", path, error.message()));
    return out;
}

}  // namespace

Result<ImageFiles> build_image(const BuildRequest& given, std::stop_token stop,
                               const std::function<void(const std::string&)>& progress) {
    BuildRequest request = given;
    LX_TRY_AS(request.keyring, absolute_path(given.keyring));
    LX_TRY_AS(const Distro* distro, find_distro(request.distribution));
    LX_TRY(check(request));
    LX_TRY_AS(const MachineInit* init, find_machine_init(request.init));
    const std::string suite = distro->suite(request.release);
    LX_TRY(distro->check(request, suite));
    LX_TRY_AS(const std::string output_dir, absolute_path(request.output_dir));
    const std::string work_dir = fmt::format("{}/.build-{}", output_dir, random_hex(6));
    LX_TRY(make_directory(work_dir, 0700));
    Revert undo;  // never committed: the work directory goes in every case
    undo.add([&work_dir] { [[maybe_unused]] const auto removed = remove_tree(work_dir); });
    const auto now = std::chrono::floor<std::chrono::seconds>(std::chrono::system_clock::now());
    LX_TRY(build_in(*distro, {request, *init, suite, work_dir, work_dir + "/rootfs", now, stop, progress}));
    ImageFiles out{output_dir + "/metadata.tar.xz", output_dir + "/rootfs.squashfs"};
    LX_TRY(move_out(work_dir, out));
    return out;
}

}  // namespace lxmgr::images
