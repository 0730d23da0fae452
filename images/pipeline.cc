#include "images/pipeline.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/wait.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <optional>
#include <string>

namespace lxmgr::images {
namespace {

constexpr std::chrono::seconds kGrace{10};
constexpr std::size_t kMaxLine = 4096;

struct Pipe {
    UniqueFd read, write;
};
Result<Pipe> make_pipe() {
    int fds[2];
    if (::pipe2(fds, O_CLOEXEC) != 0) return fail_errno("pipe2", "");
    return Pipe{UniqueFd(fds[0]), UniqueFd(fds[1])};
}

/// The programs of one pipeline. Those that still run when it goes are killed and reaped.
class Programs {
public:
    Programs() = default;
    Programs(const Programs&) = delete;
    Programs& operator=(const Programs&) = delete;
    ~Programs() {
        send(SIGKILL);
        for (auto& child : children_) reap(child);
    }

    void add(Child child, std::string name) {
        children_.push_back({std::move(child), std::move(name), std::nullopt});
    }
    /// spawn() makes each a session leader, so that the group is all that it started.
    void send(int signal) {
        for (const auto& child : children_) {
            if (!child.status) ::kill(-child.process.pid, signal);
        }
    }
    bool all_ended() const {
        return std::ranges::all_of(children_, [](const Member& child) { return child.status.has_value(); });
    }
    void add_to(std::vector<pollfd>& polls) const {
        for (const auto& child : children_)
            polls.push_back({child.status ? -1 : child.process.pidfd.get(), POLLIN, 0});
    }
    void reap_ended(const std::vector<pollfd>& polls) {
        const std::size_t first = polls.size() - children_.size();
        for (std::size_t i = 0; i < children_.size(); ++i) {
            if (polls[first + i].revents != 0) reap(children_[i]);
        }
    }
    Result<> verdict(const std::string& last_line) const {
        for (const auto& child : children_) {
            const int status = child.status.value_or(0);
            if (WIFEXITED(status) && WEXITSTATUS(status) == 0) continue;
            // A program whose reader has failed is not the one to blame.
            if (WIFSIGNALED(status) && WTERMSIG(status) == SIGPIPE && &child != &children_.back()) continue;
            const std::string how = WIFSIGNALED(status)
                                        ? fmt::format("was ended by signal {}", WTERMSIG(status))
                                        : fmt::format("exited with {}", WEXITSTATUS(status));
            return fail(Status::internal, fmt::format("'{}' {}: {}", child.name, how, last_line));
        }
        return {};
    }

private:
    struct Member {
        Child process;
        std::string name;
        std::optional<int> status;
    };
    static void reap(Member& child) {
        if (child.status) return;
        int status = 0;
        while (::waitpid(child.process.pid, &status, 0) < 0 && errno == EINTR) {
        }
        child.status = status;
    }
    std::vector<Member> children_;
};

/// Cuts what programs write into lines.
class Lines {
public:
    explicit Lines(const std::function<void(std::string_view)>& sink) : sink_(sink) {}
    /// Reads all that is there from a descriptor that does not block, and closes it at the end.
    void read(UniqueFd& fd) {
        std::array<char, 4096> buffer;
        for (;;) {
            const ssize_t n = ::read(fd.get(), buffer.data(), buffer.size());
            if (n < 0 && errno == EINTR) continue;
            if (n < 0 && errno == EAGAIN) return;
            if (n <= 0) return fd.reset();
            for (const char c : std::string_view(buffer.data(), static_cast<std::size_t>(n))) add(c);
        }
    }
    void flush() {
        if (pending_.empty()) return;
        if (sink_) sink_(pending_);
        last_ = std::exchange(pending_, {});
    }
    const std::string& last() const { return last_; }

private:
    void add(char c) {
        if (c == '\n' || c == '\r') {
            flush();
        } else if (pending_.size() < kMaxLine) {
            pending_ += c;
        }
    }
    const std::function<void(std::string_view)>& sink_;
    std::string pending_, last_;
};

Result<> start(const std::vector<Command>& commands, int output, Programs& programs) {
    UniqueFd input(::open("/dev/null", O_RDONLY | O_CLOEXEC));
    if (!input) return fail_errno("Opening", "/dev/null");
    for (std::size_t i = 0; i < commands.size(); ++i) {
        Pipe next;
        const bool last = i + 1 == commands.size();
        if (!last) {
            LX_TRY_AS(next, make_pipe());
        }
        const int out = last ? output : next.write.get();
        LX_TRY_AS(Child child, spawn(commands[i], {{input.get(), 0}, {out, 1}, {output, 2}}));
        programs.add(std::move(child), commands[i].argv[0]);
        input = std::move(next.read);
    }
    return {};
}

}  // namespace

Result<> run_pipeline(const std::vector<Command>& commands, const std::stop_token& stop,
                      const std::function<void(std::string_view)>& line) {
    LX_TRY_AS(Pipe output, make_pipe());
    const UniqueFd stopped(::eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK));
    if (!stopped) return fail_errno("eventfd", "");
    const std::stop_callback wake(stop, [&stopped] { ::eventfd_write(stopped.get(), 1); });
    Programs programs;
    LX_TRY(start(commands, output.write.get(), programs));
    output.write.reset();
    ::fcntl(output.read.get(), F_SETFL, O_NONBLOCK);

    Lines lines(line);
    bool stopping = false;
    std::chrono::steady_clock::time_point kill_at;
    while (!programs.all_ended()) {
        std::vector<pollfd> polls{{output.read.get(), POLLIN, 0}, {stopping ? -1 : stopped.get(), POLLIN, 0}};
        programs.add_to(polls);
        int timeout_ms = -1;
        if (stopping) {
            const auto left =
                std::chrono::ceil<std::chrono::milliseconds>(kill_at - std::chrono::steady_clock::now());
            if (left.count() <= 0) break;  // the destructor kills
            timeout_ms = static_cast<int>(left.count());
        }
        if (::poll(polls.data(), polls.size(), timeout_ms) < 0) continue;
        if (polls[0].revents != 0) lines.read(output.read);
        if (polls[1].revents != 0) {
            stopping = true;
            kill_at = std::chrono::steady_clock::now() + kGrace;
            programs.send(SIGTERM);
        }
        programs.reap_ended(polls);
    }
    if (stopping)
        return fail(Status::unavailable, fmt::format("'{}' was cancelled", commands.back().argv[0]));
    if (output.read) lines.read(output.read);  // not until its end: something left behind may hold it open
    lines.flush();
    return programs.verdict(lines.last());
}

}  // namespace lxmgr::images
