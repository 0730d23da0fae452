#include "lxmgr/image_servers.h"

#include <fmt/format.h>
#include <sys/utsname.h>
#include <unistd.h>

#include <climits>
#include <cstdlib>

#include "lxd-daemon/base/spawn.h"
#include "lxd-daemon/base/strings.h"
#include "lxmgr/remote_files.h"
#include "lxmgr/terminal.h"

namespace lxmgr::cli {
namespace {

constexpr const char* kListProgram = "lxmgr-image-list";
constexpr std::size_t kMaxList = std::size_t{256} << 20;

/// Beside this program (a build tree, an installation), else by its name.
std::string lister_path() {
    std::string self(PATH_MAX, '\0');
    const ssize_t n = ::readlink("/proc/self/exe", self.data(), self.size());
    if (n <= 0) return kListProgram;
    self.resize(static_cast<std::size_t>(n));
    const std::string beside = join_path(parent_path(self), kListProgram);
    return ::access(beside.c_str(), X_OK) == 0 ? beside : kListProgram;
}

/// What the program may want to know of this one's surroundings.
std::vector<std::string> kept_environment() {
    std::vector<std::string> out;
    for (const char* name :
         {"https_proxy", "HTTPS_PROXY", "no_proxy", "NO_PROXY", "SSL_CERT_FILE", "SSL_CERT_DIR"}) {
        if (const char* value = std::getenv(name)) out.push_back(fmt::format("{}={}", name, value));
    }
    return out;
}

}  // namespace

Result<Json> list_streams(const StreamsRemote& remote) {
    utsname machine{};
    ::uname(&machine);
    Spinner spinner("Asking " + remote.url);
    const lxmgr::Command command{.argv = {lister_path(), "--architecture", machine.machine, "--", remote.url},
                                 .extra_env = kept_environment(),
                                 .max_output_bytes = kMaxList};
    auto listed = lxmgr::run(command);
    if (!listed)
        return std::unexpected(in(fmt::format("Asking '{}'", remote.name), std::move(listed).error()));
    if (listed->exit_code != 0)
        return fail(Status::internal, fmt::format("Image server '{}': {}", remote.name, trim(listed->err)));
    auto images = Json::parse(listed->out, nullptr, false);
    if (!images.is_array())
        return fail(Status::internal,
                    fmt::format("The list of image server '{}' was not understood", remote.name));
    return images;
}

Result<Json> find_streams_image(const StreamsImage& image) {
    LX_TRY_AS(const Json all, list_streams(image.remote));
    for (const auto& one : all) {
        for (const auto& alias : member(one, "aliases")) {
            if (text_member(alias, "name") == image.name) return one;
        }
    }
    for (const auto& one : all) {
        if (!image.name.empty() && text_member(one, "fingerprint").starts_with(image.name)) return one;
    }
    return fail(Status::not_found,
                fmt::format("Image server '{}' has no container image '{}'", image.remote.name, image.name));
}

}  // namespace lxmgr::cli
