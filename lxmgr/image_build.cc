// image build: the work is done by a program of its own (lxmgr-image-build), so that the client stays small
// and needs no daemon for it.
#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <climits>
#include <deque>

#include "lxd-daemon/base/own.h"
#include "lxmgr/editor.h"
#include "lxmgr/images.h"
#include "lxmgr/remote_files.h"
#include "lxmgr/terminal.h"

extern char** environ;

namespace lxmgr::cli {
namespace {

constexpr std::size_t kRecentLines = 15;
constexpr int kFrameMs = 100;
constexpr const char* kProgram = "lxmgr-image-build";

/// Beside this program (a build tree, an installation), else by its name from PATH.
std::string builder_path() {
    std::string self(PATH_MAX, '\0');
    const ssize_t n = ::readlink("/proc/self/exe", self.data(), self.size());
    if (n <= 0) return kProgram;
    self.resize(static_cast<std::size_t>(n));
    const std::string beside = join_path(parent_path(self), kProgram);
    return ::access(beside.c_str(), X_OK) == 0 ? beside : kProgram;
}

std::vector<std::string> builder_argv(const DistroName& distro, const BuildOptions& options,
                                      const std::string& output_dir) {
    std::vector<std::string> argv{builder_path(), "--distribution", distro.distribution, "--release",
                                  distro.release, "--output",       output_dir};
    if (!options.mirror.empty()) argv.insert(argv.end(), {"--mirror", options.mirror});
    if (!options.init.empty()) argv.insert(argv.end(), {"--init", options.init});
    for (const auto& package : options.packages) argv.insert(argv.end(), {"--package", package});
    for (const auto& name : options.components) argv.insert(argv.end(), {"--component", name});
    if (!options.keyring.empty()) argv.insert(argv.end(), {"--keyring", options.keyring});
    if (options.is_unsigned) argv.emplace_back("--unsigned");
    return argv;
}

/// Shows the builder's lines: in place on a terminal, one below the other elsewhere.
class BuildLines {
public:
    explicit BuildLines(const std::string& what) : progress_("Building " + what) {}
    void add(std::string_view bytes) {
        partial_ += bytes;
        for (auto end = partial_.find('\n'); end != std::string::npos; end = partial_.find('\n')) {
            last_ = partial_.substr(0, end);
            partial_.erase(0, end + 1);
            if (!progress_.wanted() && !quiet()) fmt::print(stderr, "{}\n", printable(last_));
            recent_.push_back(last_);
            if (recent_.size() > kRecentLines) recent_.pop_front();
        }
        progress_.tick(last_);
    }
    void clear() { progress_.clear(); }
    /// What came last, for an error whose lines were not left standing.
    void print_recent() const {
        if (!progress_.wanted() && !quiet()) return;
        for (const auto& line : recent_) fmt::print(stderr, "{}\n", printable(line));
    }

private:
    Progress progress_;
    std::string partial_;
    std::string last_;
    std::deque<std::string> recent_;
};

class SpawnActions {
public:
    SpawnActions() {
        posix_spawn_file_actions_init(&actions_);
        posix_spawnattr_init(&attributes_);
    }
    SpawnActions(SpawnActions&&) = delete;
    ~SpawnActions() {
        posix_spawn_file_actions_destroy(&actions_);
        posix_spawnattr_destroy(&attributes_);
    }
    posix_spawn_file_actions_t actions_{};
    posix_spawnattr_t attributes_{};
};

Result<pid_t> start_image_build(std::vector<std::string> argv, int output) {
    std::vector<char*> pointers;
    for (auto& word : argv) pointers.push_back(word.data());
    pointers.push_back(nullptr);
    SpawnActions spawn;
    posix_spawn_file_actions_adddup2(&spawn.actions_, output, STDOUT_FILENO);
    posix_spawn_file_actions_adddup2(&spawn.actions_, output, STDERR_FILENO);
    posix_spawn_file_actions_addopen(&spawn.actions_, STDIN_FILENO, "/dev/null", O_RDONLY, 0);
    pid_t pid = -1;
    const int error =
        ::posix_spawnp(&pid, pointers[0], &spawn.actions_, &spawn.attributes_, pointers.data(), environ);
    if (error == 0) return pid;
    return fail(Status::not_found,
                fmt::format("The image builder '{}' cannot be started; it belongs beside lxmgr or in PATH",
                            kProgram));
}

/// Ctrl-C goes to the builder too, which cleans up; we stay until it has, and then remove what is ours.
class HoldInterrupt {
public:
    HoldInterrupt() { ::sigaction(SIGINT, nullptr, &old_); }
    HoldInterrupt(HoldInterrupt&&) = delete;
    ~HoldInterrupt() { ::sigaction(SIGINT, &old_, nullptr); }
    static void engage() {
        ::signal(SIGINT, SIG_IGN);
    }  // after the spawn: an ignored signal stays ignored in a child

private:
    struct sigaction old_{};
};

Result<> wait_for(pid_t pid, const std::string& what) {
    int status = 0;
    while (::waitpid(pid, &status, 0) < 0 && errno == EINTR) {
    }
    if (WIFEXITED(status) && WEXITSTATUS(status) == 0) return {};
    if (WIFSIGNALED(status))
        return fail(Status::internal,
                    fmt::format("Building {} was stopped by signal {}", what, WTERMSIG(status)));
    return fail(Status::internal, fmt::format("Building {} failed; the lines above say why", what));
}

}  // namespace

Result<> build_image_files(const DistroName& distro, const BuildOptions& options,
                           const std::string& output_dir) {
    const std::string what = fmt::format("{}/{}", distro.distribution, distro.release);
    int fds[2];
    if (::pipe2(fds, O_CLOEXEC) != 0) return fail_errno("pipe2", "");
    const UniqueFd lines_end(fds[0]);
    UniqueFd child_end(fds[1]);
    const HoldInterrupt hold;
    LX_TRY_AS(const pid_t pid, start_image_build(builder_argv(distro, options, output_dir), child_end.get()));
    HoldInterrupt::engage();
    child_end.reset();
    BuildLines lines(what);
    std::array<char, 4096> buffer;
    for (;;) {
        pollfd waiting{lines_end.get(), POLLIN, 0};
        if (::poll(&waiting, 1, kFrameMs) == 0) {  // nothing new: the spinner still turns
            lines.add({});
            continue;
        }
        const ssize_t n = ::read(lines_end.get(), buffer.data(), buffer.size());
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) break;
        lines.add(std::string_view(buffer.data(), static_cast<std::size_t>(n)));
    }
    lines.clear();
    Result<> built = wait_for(pid, what);
    if (!built) lines.print_recent();
    return built;
}

Result<std::string> build_and_import(Client& client, const DistroName& distro, const BuildOptions& options,
                                     const std::string& alias) {
    LX_TRY(
        client.get("/1.0"));  // a daemon that is not there should be told before minutes of work, not after
    LX_TRY_AS(const TemporaryDirectory directory, TemporaryDirectory::create("/var/tmp"));
    LX_TRY(build_image_files(distro, options, directory.path()));
    const ImportRequest request{.metadata_path = directory.path() + "/metadata.tar.xz",
                                .rootfs_path = directory.path() + "/rootfs.squashfs",
                                .properties = {}};
    LX_TRY_AS(const std::string fingerprint, import_image(client, request));
    LX_TRY(set_alias(client, alias, fingerprint));
    return fingerprint;
}

}  // namespace lxmgr::cli
