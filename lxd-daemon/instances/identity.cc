#include "lxd-daemon/instances/identity.h"

#include <fcntl.h>
#include <fmt/format.h>

#include <array>

#include "lxd-daemon/base/strings.h"
#include "lxd-daemon/instances/files.h"

namespace lxmgr::instances {
namespace {

constexpr std::size_t kMaxHosts = std::size_t{256} << 10;

/// Content of a small regular file; empty when it is absent or anything else.
std::string read_text(const InstanceRoot& root, const std::string& path) {
    const auto file = open_file(root, path);
    if (!file || file->info.type != FileType::file || file->info.size_bytes > kMaxHosts) return "";
    std::string text(static_cast<std::size_t>(file->info.size_bytes), '\0');
    const ssize_t n = ::pread(file->fd.get(), text.data(), text.size(), 0);
    text.resize(n > 0 ? static_cast<std::size_t>(n) : 0);
    return text;
}

}  // namespace

std::string hosts_with_name(const std::string& hosts, const std::string& name) {
    std::string out;
    bool named = false;
    std::string_view rest = hosts;
    while (!rest.empty()) {
        const auto end = rest.find('\n');
        const std::string_view line = rest.substr(0, end);
        rest.remove_prefix(end == std::string_view::npos ? rest.size() : end + 1);
        if (trim(line).starts_with("127.0.1.1")) {
            if (!named) out += fmt::format("127.0.1.1\t{}\n", name);
            named = true;
        } else {
            out += fmt::format("{}\n", line);
        }
    }
    if (out.empty()) out = "127.0.0.1\tlocalhost\n::1\tlocalhost ip6-localhost ip6-loopback\n";
    if (!named) out += fmt::format("127.0.1.1\t{}\n", name);
    return out;
}

Result<> write_identity(int root_fd, const sys::IdMap& idmap, const std::string& name) {
    const InstanceRoot root{UniqueFd(::fcntl(root_fd, F_DUPFD_CLOEXEC, 0)), idmap, nullptr};
    if (!root.fd) return fail_errno("fcntl", "root");
    const auto etc = file_info(root, "/etc");
    if (!etc || etc->type != FileType::directory) return {};
    LX_TRY(write_text(root, "/etc/hostname", name + "\n"));
    return write_text(root, "/etc/hosts", hosts_with_name(read_text(root, "/etc/hosts"), name));
}

}  // namespace lxmgr::instances
