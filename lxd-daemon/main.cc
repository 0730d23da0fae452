#include <fmt/format.h>
#include <malloc.h>
#include <sys/stat.h>

#include <CLI/CLI.hpp>
#include <csignal>
#include <cstdlib>
#include <exception>

#include "lxd-daemon/base/log.h"
#include "lxd-daemon/daemon.h"
#include "lxd-daemon/options.h"
#include "lxd-daemon/take_down.h"

namespace {

std::string default_root() {
    const char* dir = std::getenv("LXMGR_DIR");
    return dir != nullptr && *dir != '\0' ? dir : "/var/lib/lxmgr";
}

int take_down(const lxmgr::Options& options) {
    auto done = lxmgr::take_down_networks(options);
    if (!done) fmt::print(stderr, "lxmgrd: {}\n", done.error().message);
    return done ? 0 : 1;
}

int serve(const lxmgr::Options& options) {
    auto daemon = lxmgr::Daemon::open(options);
    if (!daemon) {
        fmt::print(stderr, "lxmgrd cannot start: {}\n", daemon.error().message);
        return 1;
    }
    auto ran = (*daemon)->run();
    if (!ran) fmt::print(stderr, "lxmgrd failed: {}\n", ran.error().message);
    return ran ? 0 : 1;
}

}  // namespace

int main(int argc, char** argv) {
    CLI::App app{"lxmgrd, the daemon of the system-container manager lxmgr"};
    lxmgr::Options options;
    options.root = default_root();
    app.add_option("--root", options.root, "State directory (default: $LXMGR_DIR, else /var/lib/lxmgr)");
    const auto* group = app.add_option("--group", options.group,
                                       "Group that may use the unix socket (default: lxmgr, else root)");
    app.add_flag("--debug", options.debug, "Log debug messages");
    app.add_option("--log-file", options.log_file, "Log to this file too");
    bool only_take_down = false;
    app.add_flag(
        "--take-down-networks", only_take_down,
        "Remove bridges, rules and servers of networks and the daemon's empty cgroups, which outlive it, "
        "and end");
    app.set_version_flag("--version", LXMGR_VERSION);
    CLI11_PARSE(app, argc, argv);
    options.group_given = group->count() > 0;
    while (options.root.size() > 1 && options.root.back() == '/') options.root.pop_back();
    if (options.root.empty() || options.root.front() != '/') {
        fmt::print(stderr, "lxmgrd cannot start: the state directory '{}' is not an absolute path\n",
                   options.root);
        return 1;
    }

    // glibc gives up to eight arenas for each core to threads, and each keeps what it once held: the worker
    // threads mostly wait for the kernel, so that few serve them as well (mallopt(3)).
    ::mallopt(M_ARENA_MAX, 2);
    ::umask(0);
    std::signal(SIGPIPE, SIG_IGN);
    try {
        lxmgr::log::open(options.debug ? lxmgr::log::Level::debug : lxmgr::log::Level::info,
                         options.log_file);
        return only_take_down ? take_down(options) : serve(options);
    } catch (const std::exception& error) {
        fmt::print(stderr, "lxmgrd ended by a bug: {}\n", error.what());
        return 1;
    }
}
