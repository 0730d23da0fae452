#include "lxd-daemon/instances/failure_log.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>

#include "lxd-daemon/base/clock.h"
#include "lxd-daemon/base/files.h"
#include "lxd-daemon/base/log.h"
#include "lxd-daemon/instances/context.h"

namespace lxmgr::instances {
namespace {

constexpr std::size_t kMaxFailureBytes = 64 << 10;

std::string one_line(std::string_view text) {
    std::string out(text);
    std::ranges::replace_if(out, [](unsigned char c) { return c < 0x20 || c == 0x7f; }, ' ');
    return out;
}

Result<> append(const Context& context, const std::string& name, std::string_view text) {
    LX_TRY(lxmgr::make_directory(context.log_dir(name), 0700));
    const std::string path = fmt::format("{}/{}", context.log_dir(name), kFailureLog);
    std::string content = read_file(path).value_or("");
    content += fmt::format("{} {}\n", to_rfc3339(now()), one_line(text));
    if (content.size() > kMaxFailureBytes)
        content.erase(0, content.find('\n', content.size() - kMaxFailureBytes) + 1);
    // In place and without a sync: whoever waits for the end of the instance waits for this.
    const UniqueFd fd(::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600));
    if (!fd || ::write(fd.get(), content.data(), content.size()) != std::ssize(content))
        return fail_errno("Writing", path);
    return {};
}

}  // namespace

void log_failure(const Context& context, const std::string& name, std::string_view text) {
    if (auto done = append(context, name, text); !done)
        log::warn("cannot note a failure", {{"instance", name}, {"error", done.error().message}});
}

}  // namespace lxmgr::instances
