#include "images/distros/apt.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <cstdlib>

#include "images/pipeline.h"
#include "lxd-daemon/base/files.h"

namespace lxmgr::images {
namespace {

// What installation scripts write as "today" (the days in /etc/shadow): any fixed time will do.
constexpr const char* kInstallDate = "SOURCE_DATE_EPOCH=1686355200";
constexpr std::size_t kMaxKeyringBytes = 4U << 20U;

}  // namespace

AptAccess access_here(const BuildRequest& request, const char* keyring, std::vector<std::string> components) {
    AptAccess out;
    if (request.is_unsigned) {
        out.options = "[trusted=yes] ";
    } else if (!request.keyring.empty()) {
        out.options = fmt::format("[signed-by={}] ", request.keyring);
    } else if (path_exists(keyring)) {
        out.options = fmt::format("[signed-by={}] ", keyring);
    }
    out.components = request.components.empty() ? std::move(components) : request.components;
    return out;
}

Result<> install_by_apt(const Installation& job, const std::vector<std::string>& packages,
                        const std::vector<std::string>& sources) {
    // Check-Valid-Until: snapshots and frozen mirrors are signed as well as others, only not this week.
    Command command{
        .argv = {"mmdebstrap", "--mode=root", "--variant=apt", "--format=directory",
                 "--aptopt=Acquire::Check-Valid-Until \"false\"",
                 fmt::format("--include={}", fmt::join(packages, ",")), "--", job.suite, job.root},
        .extra_env = {kInstallDate, "DEBIAN_FRONTEND=noninteractive"}};
    command.argv.insert(command.argv.end(), sources.begin(), sources.end());
    for (const char* name : {"http_proxy", "https_proxy", "no_proxy", "TMPDIR"}) {
        if (const char* value = std::getenv(name))
            command.extra_env.push_back(fmt::format("{}={}", name, value));
    }
    return run_pipeline({command}, job.stop, [&job](std::string_view line) {
        // mmdebstrap marks its own lines; the rest is apt's and dpkg's talk.
        if (job.progress && line.starts_with("I: ")) job.progress(std::string(line.substr(3)));
    });
}

Result<> carry_keyring(const RootTree& tree, const BuildRequest& request,
                       const std::vector<std::string>& sources) {
    if (request.keyring.empty()) return {};
    LX_TRY_AS(const std::string keys, read_file(request.keyring, kMaxKeyringBytes));
    // apt tells the two forms of keyrings apart by their names.
    const std::string inside =
        fmt::format("/etc/apt/keyrings/mirror.{}", request.keyring.ends_with(".asc") ? "asc" : "gpg");
    LX_TRY(tree.write(inside, keys));
    std::string text;
    for (std::string line : sources) {
        if (const auto at = line.find(request.keyring); at != std::string::npos)
            line.replace(at, request.keyring.size(), inside);
        text += line + "\n";
    }
    return tree.write("/etc/apt/sources.list", text);
}

}  // namespace lxmgr::images
