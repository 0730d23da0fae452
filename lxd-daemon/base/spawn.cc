#include "lxd-daemon/base/spawn.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <spawn.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <cstring>

namespace lxmgr {
namespace {

constexpr std::array kPathDirs{"/usr/local/sbin", "/usr/local/bin", "/usr/sbin", "/usr/bin", "/sbin", "/bin"};
constexpr const char* kPathEnv = "PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

Result<std::string> find_program(const std::string& name) {
    if (name.contains('/')) return name;
    for (const char* dir : kPathDirs) {
        std::string path = fmt::format("{}/{}", dir, name);
        if (::access(path.c_str(), X_OK) == 0) return path;
    }
    return fail(Status::not_found, fmt::format("Program '{}' is not installed", name));
}

struct Pipe {
    UniqueFd read;
    UniqueFd write;
};
Result<Pipe> make_pipe() {
    int fds[2];
    if (::pipe2(fds, O_CLOEXEC) != 0) return fail_errno("pipe2", "");
    return Pipe{UniqueFd(fds[0]), UniqueFd(fds[1])};
}

class Actions {
public:
    Actions() { posix_spawn_file_actions_init(&actions_); }
    Actions(Actions&&) = delete;
    ~Actions() { posix_spawn_file_actions_destroy(&actions_); }
    void dup(int from, int to) { posix_spawn_file_actions_adddup2(&actions_, from, to); }
    void chdir(const char* path) { posix_spawn_file_actions_addchdir_np(&actions_, path); }
    void close_from(int fd) { posix_spawn_file_actions_addclosefrom_np(&actions_, fd); }
    posix_spawn_file_actions_t* get() { return &actions_; }

private:
    posix_spawn_file_actions_t actions_{};
};

class Attributes {
public:
    Attributes() {
        posix_spawnattr_init(&attr_);
        sigset_t set;
        sigemptyset(&set);
        posix_spawnattr_setsigmask(&attr_, &set);
        sigfillset(&set);
        posix_spawnattr_setsigdefault(&attr_, &set);
        posix_spawnattr_setflags(&attr_, POSIX_SPAWN_SETSIGMASK | POSIX_SPAWN_SETSIGDEF | POSIX_SPAWN_SETSID);
    }
    Attributes(Attributes&&) = delete;
    ~Attributes() { posix_spawnattr_destroy(&attr_); }
    const posix_spawnattr_t* get() const { return &attr_; }

private:
    posix_spawnattr_t attr_{};
};

std::vector<char*> pointers(std::vector<std::string>& strings) {
    std::vector<char*> out;
    out.reserve(strings.size() + 1);
    for (auto& s : strings) out.push_back(s.data());
    out.push_back(nullptr);
    return out;
}

void append_capped(std::string& out, const char* data, std::size_t size, std::size_t cap) {
    if (out.size() < cap) out.append(data, std::min(size, cap - out.size()));
}

/// Reads one pipe into `out`; closes it at its end.
void drain(UniqueFd& fd, std::string& out, std::size_t cap) {
    std::array<char, 16384> buffer;
    const ssize_t n = ::read(fd.get(), buffer.data(), buffer.size());
    if (n > 0) {
        append_capped(out, buffer.data(), static_cast<std::size_t>(n), cap);
    } else if (n == 0 || (errno != EAGAIN && errno != EINTR)) {
        fd.reset();
    }
}

/// Writes what is left of the input; closes the pipe when done or when the reader is gone.
void feed(UniqueFd& fd, const std::string& input, std::size_t& done) {
    if (done < input.size()) {
        const ssize_t n = ::write(fd.get(), input.data() + done, input.size() - done);
        if (n > 0) {
            done += static_cast<std::size_t>(n);
        } else if (errno != EAGAIN && errno != EINTR) {
            done = input.size();
        }
    }
    if (done >= input.size()) fd.reset();
}

int remaining_ms(const std::optional<std::chrono::steady_clock::time_point>& deadline) {
    if (!deadline) return -1;
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(*deadline - std::chrono::steady_clock::now());
    return static_cast<int>(std::max<std::int64_t>(left.count(), 0));
}

struct Streams {
    UniqueFd in, out, err;
};

/// Moves bytes until the child has ended and its output is read. Returns false when the deadline passed
/// first. A grandchild that keeps the pipes open does not hold us: the child's end is what counts.
bool pump(const Command& command, const Child& child, Streams streams, CommandResult& result) {
    const auto deadline =
        command.timeout ? std::optional(std::chrono::steady_clock::now() + *command.timeout) : std::nullopt;
    std::size_t fed = 0;
    bool ended = false;
    while (!ended || streams.out || streams.err) {
        std::array<pollfd, 4> polls{{{streams.out.get(), POLLIN, 0},
                                     {streams.err.get(), POLLIN, 0},
                                     {streams.in.get(), POLLOUT, 0},
                                     {ended ? -1 : child.pidfd.get(), POLLIN, 0}}};
        const int ready = ::poll(polls.data(), polls.size(), ended ? 0 : remaining_ms(deadline));
        if (ready < 0 && errno == EINTR) continue;
        if (ready == 0 && ended) return true;
        if (ready == 0) return false;
        if (polls[0].revents != 0) drain(streams.out, result.out, command.max_output_bytes);
        if (polls[1].revents != 0) drain(streams.err, result.err, command.max_output_bytes);
        if (polls[2].revents != 0) feed(streams.in, command.input, fed);
        if (polls[3].revents != 0) ended = true;
    }
    return true;
}

void reap(const Child& child, CommandResult& result) {
    int status = 0;
    while (::waitpid(child.pid, &status, 0) < 0 && errno == EINTR) {
    }
    if (WIFEXITED(status)) {
        result.exit_code = WEXITSTATUS(status);
    } else if (WIFSIGNALED(status)) {
        result.signal = WTERMSIG(status);
    }
}

std::string last_line(std::string_view text) {
    while (!text.empty() && (text.back() == '\n' || text.back() == '\r')) text.remove_suffix(1);
    const auto at = text.rfind('\n');
    return std::string(at == std::string_view::npos ? text : text.substr(at + 1));
}

/// getenv(3) finds the first of two of one name, so there is one of each.
std::vector<std::string> environment_of(const Command& command) {
    std::vector<std::string> out{kPathEnv, "LANG=C.UTF-8", "HOME=/root"};
    for (const auto& added : command.extra_env) {
        const std::string_view key = std::string_view(added).substr(0, added.find('=') + 1);
        std::erase_if(out, [key](const std::string& known) { return known.starts_with(key); });
        out.push_back(added);
    }
    return out;
}

}  // namespace

Result<Child> spawn(const Command& command, const std::vector<std::pair<int, int>>& fds) {
    if (command.argv.empty()) return fail(Status::internal, "Starting a program: no argv");
    LX_TRY_AS(const std::string program,
              find_program(command.program.empty() ? command.argv[0] : command.program));
    std::vector<std::string> argv = command.argv;
    std::vector<std::string> env = environment_of(command);

    // First to numbers above all targets, so that no dup2 overwrites a source that is still needed.
    int highest = 2;
    for (const auto& [ours, theirs] : fds) highest = std::max(highest, theirs);
    std::vector<UniqueFd> parked;
    Actions actions;
    for (const auto& [ours, theirs] : fds) {
        parked.emplace_back(::fcntl(ours, F_DUPFD_CLOEXEC, highest + 1));
        if (!parked.back()) return fail_errno("fcntl(F_DUPFD_CLOEXEC)", command.argv[0]);
        actions.dup(parked.back().get(), theirs);
    }
    actions.close_from(highest + 1);
    actions.chdir(command.cwd.empty() ? "/" : command.cwd.c_str());
    const Attributes attributes;

    Child child;
    const int rc = ::posix_spawn(&child.pid, program.c_str(), actions.get(), attributes.get(),
                                 pointers(argv).data(), pointers(env).data());
    if (rc != 0) {
        errno = rc;
        return fail_errno("Starting", program);
    }
    child.pidfd.reset(static_cast<int>(::syscall(SYS_pidfd_open, child.pid, 0)));
    if (!child.pidfd) {
        auto error = fail_errno("pidfd_open", program);
        ::kill(child.pid, SIGKILL);
        ::waitpid(child.pid, nullptr, 0);
        return error;
    }
    return child;
}

Result<CommandResult> run(const Command& command) {
    LX_TRY_AS(Pipe in_pipe, make_pipe());
    LX_TRY_AS(Pipe out_pipe, make_pipe());
    LX_TRY_AS(Pipe err_pipe, make_pipe());
    LX_TRY_AS(
        const Child child,
        spawn(command, {{in_pipe.read.get(), 0}, {out_pipe.write.get(), 1}, {err_pipe.write.get(), 2}}));
    in_pipe.read.reset();
    out_pipe.write.reset();
    err_pipe.write.reset();
    for (const UniqueFd* fd : {&in_pipe.write, &out_pipe.read, &err_pipe.read})
        ::fcntl(fd->get(), F_SETFL, O_NONBLOCK);

    CommandResult result;
    const bool in_time =
        pump(command, child, {std::move(in_pipe.write), std::move(out_pipe.read), std::move(err_pipe.read)},
             result);
    if (!in_time) ::syscall(SYS_pidfd_send_signal, child.pidfd.get(), SIGKILL, nullptr, 0);
    reap(child, result);
    if (!in_time) {
        return fail(Status::internal,
                    fmt::format("'{}' did not end within {} ms", command.argv[0], command.timeout->count()));
    }
    return result;
}

Result<std::string> run_checked(const Command& command) {
    LX_TRY_AS(CommandResult result, run(command));
    if (result.exit_code == 0) return std::move(result.out);
    const std::string how = result.signal != 0 ? fmt::format("was ended by signal {}", result.signal)
                                               : fmt::format("exited with {}", result.exit_code);
    return fail(Status::internal, fmt::format("'{}' {}: {}", command.argv[0], how, last_line(result.err)));
}

}  // namespace lxmgr
