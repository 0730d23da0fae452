#include "images/build.h"

#include <fmt/chrono.h>
#include <fmt/format.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <algorithm>
#include <cstdlib>
#include <filesystem>

#include "images/apt_sources.h"
#include "images/cloud_seed.h"
#include "images/image_pack.h"
#include "images/machine_init.h"
#include "images/machine_tree.h"
#include "images/pipeline.h"
#include "lxd-daemon/base/files.h"
#include "lxd-daemon/base/strings.h"

namespace lxmgr::images {
namespace {

// What installation scripts write as "today" (the days in /etc/shadow): any fixed time will do.
constexpr const char* kInstallDate = "SOURCE_DATE_EPOCH=1686355200";

Result<> check(const BuildRequest& request) {
    const auto is_name = [](std::string_view text, std::string_view more) {
        return !text.empty() && std::isalnum(static_cast<unsigned char>(text.front())) != 0 &&
               std::ranges::all_of(text, [&](char c) {
                   return std::isalnum(static_cast<unsigned char>(c)) != 0 || more.contains(c);
               });
    };
    if (request.distribution != "debian" && request.mirror.empty()) {
        return fail(Status::bad_request,
                    fmt::format("'{}' can be built only with a mirror given", request.distribution));
    }
    if (!is_name(request.distribution, "-"))
        return fail(Status::bad_request, "The distribution's name is not usable");
    if (!is_name(request.release, "-.")) {
        return fail(Status::bad_request, fmt::format("'{}' is no release name", request.release));
    }
    for (const auto& package : request.extra_packages) {
        if (!is_name(package, "+-.:"))
            return fail(Status::bad_request, fmt::format("'{}' is no package name", package));
    }
    const bool uri =
        request.mirror.contains("://") && !request.mirror.contains(' ') && !has_control_chars(request.mirror);
    if (!request.mirror.empty() && !uri) {
        return fail(Status::bad_request, fmt::format("'{}' is no mirror URI", request.mirror));
    }
    return {};
}

Result<std::vector<std::string>> sources(const BuildRequest& request, const std::string& suite) {
    if (request.distribution != "debian") return std::vector<std::string>{request.mirror};
    LX_TRY_AS(AptMirrors mirrors, machine_mirrors());
    if (!request.mirror.empty()) mirrors = {request.mirror, ""};
    return debian_sources(suite, mirrors, path_exists(kDebianKeyring));
}

std::string package_list(const BuildRequest& request, const MachineInit& init, const std::string& suite) {
    std::vector<std::string> packages = machine_packages(init, suite);
    packages.insert(packages.end(), request.extra_packages.begin(), request.extra_packages.end());
    return fmt::format("{}", fmt::join(packages, ","));
}

Result<> install(const BuildRequest& request, const MachineInit& init, const std::string& suite,
                 const std::string& root, const std::stop_token& stop,
                 const std::function<void(const std::string&)>& progress) {
    LX_TRY_AS(const std::vector<std::string> lines, sources(request, suite));
    // Check-Valid-Until: snapshots and frozen mirrors are signed as well as others, only not this week.
    Command command{
        .argv = {"mmdebstrap", "--mode=root", "--variant=apt", "--format=directory",
                 "--aptopt=Acquire::Check-Valid-Until \"false\"",
                 fmt::format("--include={}", package_list(request, init, suite)), "--", suite, root},
        .extra_env = {kInstallDate, "DEBIAN_FRONTEND=noninteractive"}};
    command.argv.insert(command.argv.end(), lines.begin(), lines.end());
    for (const char* name : {"http_proxy", "https_proxy", "no_proxy", "TMPDIR"}) {
        if (const char* value = std::getenv(name))
            command.extra_env.push_back(fmt::format("{}={}", name, value));
    }
    return run_pipeline({command}, stop, [&progress](std::string_view line) {
        // mmdebstrap marks its own lines; the rest is apt's and dpkg's talk.
        if (progress && line.starts_with("I: ")) progress(std::string(line.substr(3)));
    });
}

Metadata describe(const BuildRequest& request, const std::string& suite, std::string_view architecture,
                  std::chrono::sys_seconds newest) {
    Metadata out;
    const std::string name = request.distribution == "debian" ? "Debian" : request.distribution;
    const std::string serial =
        fmt::format("{:%Y%m%d}", fmt::gmtime(std::chrono::system_clock::to_time_t(newest)));
    out.architecture = architecture;
    out.creation_date = newest;
    out.properties = {{"architecture", std::string(architecture)},
                      {"description", fmt::format("{} {} {} ({})", name, suite, architecture, serial)},
                      {"os", name},
                      {"release", suite},
                      {"serial", serial},
                      {"variant", request.init == "systemd" ? "default" : request.init}};
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

Result<> pack(const BuildRequest& request, const std::string& suite, const std::string& work_dir,
              const std::stop_token& stop) {
    const std::string root = work_dir + "/rootfs";
    LX_TRY_AS(const std::chrono::sys_seconds newest, newest_package(root));
    LX_TRY_AS(const std::string architecture, machine_architecture());
    LX_TRY(pack_rootfs(root, work_dir + "/rootfs.squashfs", newest, stop));
    auto metadata = describe(request, suite, architecture, newest);
    auto files = templates();
    if (path_exists(root + "/usr/bin/cloud-init")) add_cloud_seed(metadata, files);
    return pack_metadata(metadata, files, work_dir + "/metadata.tar.xz");
}

}  // namespace

Result<ImageFiles> build_image(const BuildRequest& request, std::stop_token stop,
                               const std::function<void(const std::string&)>& progress) {
    LX_TRY(check(request));
    LX_TRY_AS(const MachineInit* init, find_machine_init(request.init));
    const std::string suite =
        request.distribution == "debian" ? debian_suite(request.release) : request.release;
    std::error_code error;
    const std::string output_dir = std::filesystem::absolute(request.output_dir, error).native();
    if (error) return fail(Status::bad_request, fmt::format("{}: {}", request.output_dir, error.message()));
    const std::string work_dir = fmt::format("{}/.build-{}", output_dir, random_hex(6));
    LX_TRY(make_directory(work_dir, 0700));
    Revert undo;  // never committed: the work directory goes in every case
    undo.add([&work_dir] { [[maybe_unused]] const auto removed = remove_tree(work_dir); });
    const std::string root = work_dir + "/rootfs";
    LX_TRY(install(request, *init, suite, root, stop, progress));
    if (progress) progress("setting up the machine image...");
    LX_TRY_AS(const RootTree tree, RootTree::open(root));
    LX_TRY(finish_machine_tree(tree, *init));
    if (progress) progress("packing...");
    LX_TRY(pack(request, suite, work_dir, stop));
    const ImageFiles out{output_dir + "/metadata.tar.xz", output_dir + "/rootfs.squashfs"};
    if (::rename((work_dir + "/rootfs.squashfs").c_str(), out.rootfs_path.c_str()) != 0) {
        return fail_errno("Renaming to", out.rootfs_path);
    }
    if (::rename((work_dir + "/metadata.tar.xz").c_str(), out.metadata_path.c_str()) != 0) {
        return fail_errno("Renaming to", out.metadata_path);
    }
    return out;
}

}  // namespace lxmgr::images
