#include "lxd-daemon/migration/rsync.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <limits.h>
#include <signal.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cstring>

#include "lxd-daemon/base/failpoint.h"
#include "lxd-daemon/base/spawn.h"
#include "lxd-daemon/rsync/wire.h"
#include "lxd-daemon/sys/pidfd.h"

namespace lxmgr::migration {
namespace {

/// Once nobody is at the other ends of its pipes.
constexpr std::chrono::seconds kEndTime{20};
constexpr std::size_t kErrorBytes = 16384;
/// A wish: the fewer times two programs take turns, the better.
constexpr int kRsyncPipe = 1 << 20;
/// Exit code of who finds nobody at the other end, rsync(1).
constexpr int kPeerLost = 12;

struct Ends {
    UniqueFd first, second;
};

Result<Ends> make_rsync_pipe(int flags) {
    int fds[2];
    if (::pipe2(fds, O_CLOEXEC | flags) != 0) return fail_errno("pipe2", "for rsync");
    ::fcntl(fds[0], F_SETPIPE_SZ, kRsyncPipe);
    return Ends{UniqueFd(fds[0]), UniqueFd(fds[1])};
}

Result<std::string> box_program() {
    std::array<char, PATH_MAX> self{};
    const ssize_t size = ::readlink("/proc/self/exe", self.data(), self.size());
    if (size <= 0) return fail_errno("readlink", "/proc/self/exe");
    const std::string path(self.data(), static_cast<std::size_t>(size));
    return path.substr(0, path.rfind('/') + 1) + "lxmgr-rsync";
}

const char* kind_of(const Tree& tree) { return tree.rootfs_fd >= 0 ? "instance" : "volume"; }

/// Letters as rsync's own client gives them to the server that it starts, rsync(1).
std::vector<std::string> receiver_arguments(const RsyncFeatures& features, const Tree& tree) {
    std::string letters = "-logDtpr";
    if (features.faithful) letters += "HA";
    if (features.xattrs) letters += 'X';
    if (features.compress) letters += 'z';
    letters += features.faithful ? "e.iLsfxCIvu" : "e.iLsfx";
    std::vector<std::string> out{"lxmgr-rsync", "receive", kind_of(tree),   "rsync",
                                 "--server",    letters,   "--numeric-ids", "--sparse"};
    if (features.remove) out.emplace_back("--delete");
    // Without it, what was changed twice in one second, to the same size, is not seen to have changed.
    out.emplace_back("--modify-window=-1");
    out.emplace_back(".");
    out.emplace_back(rsync::kTreePath);
    return out;
}

std::vector<std::string> sender_arguments(const RsyncFeatures& features, const Tree& tree,
                                          std::uint64_t bytes_per_second) {
    std::vector<std::string> out{
        "lxmgr-rsync", "send",          kind_of(tree), "rsync",
        "-a",          "--numeric-ids", "--sparse",    "--filter=-x security.selinux"};
    if (features.faithful) out.emplace_back("-HA");
    if (features.xattrs) out.emplace_back("-X");
    if (features.remove) out.emplace_back("--delete");
    if (features.compress) out.emplace_back("--compress");
    if (bytes_per_second > 0)
        out.push_back(fmt::format("--bwlimit={}", std::max<std::uint64_t>(bytes_per_second >> 10U, 1)));
    out.emplace_back("-e");
    out.emplace_back(rsync::kShell);
    out.emplace_back(rsync::kTreePath);
    out.emplace_back("peer:/volume");
    return out;
}

class Rsync {
public:
    Rsync(Rsync&&) = delete;
    Rsync() = default;
    ~Rsync() {
        if (child_.pid > 0) end();
    }

    /// @param in, out  its standard input and output
    Result<> start(std::vector<std::string> arguments, const Tree& tree, int in, int out, int handover) {
        LX_TRY_AS(Ends errors, make_rsync_pipe(O_NONBLOCK));  // who says more than fits is not heard
        Command command;
        command.argv = std::move(arguments);
        LX_TRY_AS(command.program, box_program());
        std::vector<std::pair<int, int>> fds{
            {in, 0}, {out, 1}, {errors.second.get(), 2}, {tree.mount_fd, rsync::kTree}};
        if (tree.rootfs_fd >= 0) fds.emplace_back(tree.rootfs_fd, rsync::kRootfs);
        if (handover >= 0) fds.emplace_back(handover, rsync::kHandover);
        LX_TRY_AS(child_, spawn(command, fds));
        errors_ = std::move(errors.first);
        return {};
    }

    /// After its streams have ended. What it says itself wins over what was carried, unless that is why it
    /// ended.
    Result<> finish(Result<> carried) {
        const bool by_itself = sys::has_ended(child_.pidfd.get());
        if (!carried && !by_itself) {
            [[maybe_unused]] const auto sent = sys::send_signal(child_.pidfd.get(), SIGTERM);
        }
        const int status = end();
        const bool failed = !WIFEXITED(status) || WEXITSTATUS(status) != 0;
        const bool lost_peer = WIFEXITED(status) && WEXITSTATUS(status) == kPeerLost;
        if (!carried && (!by_itself || !failed || lost_peer)) return carried;
        if (!failed) return {};
        auto said = explain(status);
        if (lost_peer && !said)
            return std::unexpected(Error{said.error().status, said.error().message, EPIPE});
        return said;
    }

private:
    int end() {
        if (!sys::wait_ended(child_.pidfd.get(), kEndTime)) {
            [[maybe_unused]] const auto sent = sys::send_signal(child_.pidfd.get(), SIGKILL);
        }
        int status = 0;
        while (::waitpid(child_.pid, &status, 0) < 0 && errno == EINTR) {
        }
        child_.pid = -1;
        return status;
    }

    Result<> explain(int status) {
        std::string said(kErrorBytes, '\0');
        const ssize_t size = ::read(errors_.get(), said.data(), said.size());
        said.resize(size > 0 ? static_cast<std::size_t>(size) : 0);
        Error error;
        // The first line says what happened, those behind it where in rsync.
        const std::string line = said.substr(0, said.find('\n'));
        if (line.empty() && WIFSIGNALED(status)) {
            error.message = fmt::format("rsync was ended by signal {}", WTERMSIG(status));
        } else {
            error.message = line.empty() ? fmt::format("rsync ended with {}", WEXITSTATUS(status)) : line;
        }
        error.message = shown_text(error.message);
        if (said.contains(std::strerror(ENOSPC))) error.sys_errno = ENOSPC;
        if (said.contains(std::strerror(EDQUOT))) error.sys_errno = EDQUOT;
        return std::unexpected(std::move(error));
    }

    Child child_;
    UniqueFd errors_;
};

/// The two ends of the remote shell that rsync has started: what it would read and write.
Result<Ends> take_handover(int socket) {
    char byte = 0;
    iovec part{&byte, 1};
    alignas(cmsghdr) std::array<char, CMSG_SPACE(2 * sizeof(int))> space{};
    msghdr message{};
    message.msg_iov = &part;
    message.msg_iovlen = 1;
    message.msg_control = space.data();
    message.msg_controllen = space.size();
    const ssize_t size = ::recvmsg(socket, &message, MSG_CMSG_CLOEXEC);
    const cmsghdr* const control = size == 1 ? CMSG_FIRSTHDR(&message) : nullptr;
    if (control == nullptr || control->cmsg_type != SCM_RIGHTS ||
        control->cmsg_len != CMSG_LEN(2 * sizeof(int)))
        return fail(Status::internal, "rsync did not start");
    int fds[2];
    std::memcpy(fds, CMSG_DATA(control), sizeof fds);
    return Ends{UniqueFd(fds[0]), UniqueFd(fds[1])};
}

/// What speaks with the peer by its standard input and output.
Result<> run_box(Link& link, const Tree& tree, std::vector<std::string> arguments, const char* point,
                 const Progress& progress) {
    LX_TRY_AS(Ends in, make_rsync_pipe(0));
    LX_TRY_AS(Ends out, make_rsync_pipe(0));
    Rsync rsync;
    LX_TRY(rsync.start(std::move(arguments), tree, in.first.get(), out.second.get(), -1));
    in.first.reset();
    out.second.reset();
    failpoint(point);
    return rsync.finish(link.carry(std::move(out.first), std::move(in.second), progress));
}

}  // namespace

Result<> send_tree(Link& link, const Tree& tree, const RsyncFeatures& features, const Progress& progress,
                   std::uint64_t bytes_per_second) {
    int pair[2];
    if (::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) != 0) return fail_errno("socketpair", "");
    const UniqueFd ours(pair[0]);
    UniqueFd theirs(pair[1]);
    const UniqueFd null(::open("/dev/null", O_RDWR | O_CLOEXEC));
    Rsync rsync;
    LX_TRY(rsync.start(sender_arguments(features, tree, bytes_per_second), tree, null.get(), null.get(),
                       theirs.get()));
    theirs.reset();
    auto ends = take_handover(ours.get());
    if (!ends) {
        auto why = rsync.finish({});
        return why ? Result<>(std::unexpected(ends.error())) : why;
    }
    failpoint("migration.send");
    return rsync.finish(link.carry(std::move(ends->first), std::move(ends->second), progress));
}

Result<> receive_tree(Link& link, const Tree& tree, const RsyncFeatures& features, const Progress& progress) {
    return run_box(link, tree, receiver_arguments(features, tree), "migration.receive", progress);
}

Result<> send_whole_tree(Link& link, const Tree& tree, const Progress& progress) {
    return run_box(link, tree, {"lxmgr-rsync", "send", kind_of(tree), rsync::kWhole}, "migration.send",
                   progress);
}

Result<> receive_whole_tree(Link& link, const Tree& tree, const Progress& progress) {
    return run_box(link, tree, {"lxmgr-rsync", "receive", kind_of(tree), rsync::kWhole}, "migration.receive",
                   progress);
}

}  // namespace lxmgr::migration
