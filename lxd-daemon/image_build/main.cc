#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>

#include "images/build.h"
#include "lxd-daemon/base/log.h"

/// Builds one image into a directory: progress lines on stdout, the error on stderr, exit status 1 when it
/// failed.
int main(int argc, char** argv) {
    CLI::App app{"Builds a split image (metadata.tar.xz and rootfs.squashfs) from a mirror of packages"};
    lxmgr::images::BuildRequest request;
    app.add_option("--distribution", request.distribution, "Distribution: debian, ubuntu or fedora")
        ->required();
    app.add_option("--release", request.release, "Release, such as 12, 13, sid, or a suite name")->required();
    app.add_option("--output", request.output_dir, "Existing directory that gets the two files")->required();
    app.add_option("--mirror", request.mirror,
                   "Mirror to use in place of the machine's own sources, or the distribution's servers");
    app.add_option("--package", request.extra_packages, "One more package; may be given several times")
        ->allow_extra_args(false);
    app.add_option("--init", request.init, "PID 1: systemd or sysvinit")->capture_default_str();
    app.add_option("--keyring", request.keyring, "File of the keys that the mirror is signed with");
    app.add_option("--component", request.components, "Of apt's mirrors; may be given several times")
        ->allow_extra_args(false);
    app.add_flag("--unsigned", request.is_unsigned, "Take what nobody signed");
    CLI11_PARSE(app, argc, argv);

    lxmgr::log::open(lxmgr::log::Level::warn, "");
    const auto progress = [](const std::string& line) {
        fmt::print("{}\n", line);
        std::fflush(stdout);
    };
    const auto built = lxmgr::images::build_image(request, {}, progress);
    if (!built) {
        fmt::print(stderr, "{}\n", built.error().message);
        return 1;
    }
    return 0;
}
