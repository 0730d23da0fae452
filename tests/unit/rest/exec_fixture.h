#pragma once
#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <signal.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "lxd-daemon/base/files.h"
#include "lxd-daemon/monitor/wire.h"
#include "lxd-daemon/rest/routes.h"
#include "lxd-daemon/runtime/container.h"
#include "tests/unit/rest/fixture.h"

namespace lxmgr::rest {

using nlohmann::json;
using testing_support::Client;
using testing_support::TestDaemon;

/// Runs commands on the host, in place of containers, behind the same channel as a monitor's.
class FakeRuntime final : public runtime::Runtime {
public:
    ~FakeRuntime() override {
        for (auto& thread : threads_) thread.join();
    }
    Result<runtime::ExecHandle> exec(const std::string& name, const runtime::ExecRequest& request) override;
    Result<UniqueFd> attach_console(const std::string&) override {
        int ends[2];
        EXPECT_EQ(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, ends), 0);
        console_guest = UniqueFd(ends[0]);
        return UniqueFd(ends[1]);
    }
    Result<> resize_console(const std::string&, unsigned width, unsigned height) override {
        console_size = fmt::format("{}x{}", width, height);
        return {};
    }
    Result<runtime::Running> start(const runtime::StartRequest&) override { return none(); }
    Result<std::optional<runtime::Running>> recover(const std::string&, const std::string&) override {
        return none();
    }
    Result<runtime::Counts> counts(const std::string&) override { return runtime::Counts{}; }
    bool guests_have(std::string_view) const override { return true; }
    std::vector<std::string> leftovers() override { return {}; }
    Result<> signal_halt(const std::string&) override { return none(); }
    Result<> kill(const std::string&) override { return none(); }
    bool wait_stopped(const std::string&, std::optional<std::chrono::milliseconds>) override { return true; }
    Result<> freeze(const std::string&) override { return none(); }
    Result<> unfreeze(const std::string&) override { return none(); }
    Result<> reset_limits(const std::string&, const runtime::Limits&) override { return none(); }
    Result<> set_limits(const std::string&, const runtime::Limits&, const runtime::Limits&) override {
        return none();
    }
    Result<runtime::Usage> usage(const std::string&) override { return none(); }
    void forget_exit(const std::string&) override {}
    Result<> attach(const std::string&, const runtime::Attach&) override { return none(); }
    Result<> detach(const std::string&, const std::string&, bool) override { return none(); }
    Result<UniqueFd> open_root(const std::string&) override { return none(); }
    Result<UniqueFd> open_netns(const std::string&) override { return none(); }

    UniqueFd console_guest;
    std::string console_size;

private:
    static std::unexpected<Error> none() { return fail(Status::internal, "not in this test"); }
    static void supervise(pid_t pid, UniqueFd channel);
    std::mutex mutex_;
    std::vector<std::thread> threads_;
};

inline void send_end(int channel, std::uint32_t code) {
    char buffer[64];
    wire::Writer writer(buffer, sizeof buffer, wire::Type::exec_end);
    writer.u32(code);
    (void)::send(channel, writer.data(), writer.size(), MSG_NOSIGNAL);
}

inline void FakeRuntime::supervise(pid_t pid, UniqueFd channel) {
    const UniqueFd pidfd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
    pollfd watched[2] = {{pidfd.get(), POLLIN, 0}, {channel.get(), POLLIN, 0}};
    while (::poll(watched, 2, -1) > 0 && (watched[0].revents & POLLIN) == 0) {
        char buffer[256];
        const ssize_t n = ::recv(channel.get(), buffer, sizeof buffer, MSG_DONTWAIT);
        if (n <= 0) {
            watched[1].fd = -1;
            continue;
        }
        wire::Reader reader(buffer, static_cast<std::size_t>(n));
        if (reader.type() == wire::Type::exec_signal) ::kill(pid, static_cast<int>(reader.u32()));
    }
    int status = 0;
    ::waitpid(pid, &status, 0);
    send_end(channel.get(),
             static_cast<std::uint32_t>(WIFSIGNALED(status) ? 128 + WTERMSIG(status) : WEXITSTATUS(status)));
}

inline Result<runtime::ExecHandle> FakeRuntime::exec(const std::string& name,
                                                     const runtime::ExecRequest& request) {
    if (name == "broken") return fail(Status::internal, "The instance has just stopped");
    int channel[2];
    if (::socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, channel) != 0)
        return fail_errno("socketpair", "");
    runtime::ExecHandle handle;
    handle.channel = UniqueFd(channel[0]);
    UniqueFd ours(channel[1]);
    UniqueFd slave;
    if (request.pty) {
        handle.pty_master = UniqueFd(::posix_openpt(O_RDWR | O_NOCTTY | O_CLOEXEC));
        ::unlockpt(handle.pty_master.get());
        slave = UniqueFd(::open(::ptsname(handle.pty_master.get()), O_RDWR | O_NOCTTY | O_CLOEXEC));
        const winsize size{static_cast<unsigned short>(request.height),
                           static_cast<unsigned short>(request.width), 0, 0};
        ::ioctl(slave.get(), TIOCSWINSZ, &size);
    }
    std::vector<char*> argv;
    for (const auto& word : request.argv) argv.push_back(const_cast<char*>(word.c_str()));
    argv.push_back(nullptr);
    std::vector<std::string> lines;
    for (const auto& [key, value] : request.environment) lines.push_back(key + "=" + value);
    std::vector<char*> environment;
    for (const auto& line : lines) environment.push_back(const_cast<char*>(line.c_str()));
    environment.push_back(nullptr);
    const int streams[3] = {request.pty ? slave.get() : request.stdin_fd,
                            request.pty ? slave.get() : request.stdout_fd,
                            request.pty ? slave.get() : request.stderr_fd};
    const pid_t pid = ::fork();
    if (pid == 0) {
        ::setsid();
        if (request.pty) ::ioctl(slave.get(), TIOCSCTTY, 0);
        for (int i = 0; i < 3; ++i) ::dup2(streams[i], i);
        ::execvpe(argv[0], argv.data(), environment.data());
        ::_exit(127);
    }
    handle.pid = pid;
    const std::lock_guard lock(mutex_);
    threads_.emplace_back(&FakeRuntime::supervise, pid, std::move(ours));
    return handle;
}

class ExecTest : public testing::Test {
protected:
    ExecTest() {
        auto& services = daemon_.services;
        services.runtime = &runtime_;
        services.exec_target.prepare = [](const std::string& name,
                                          std::map<std::string, std::string>& env) -> Result<> {
            if (name == "off") return fail(Status::bad_request, "Instance is not running");
            env.emplace("FROM_CONFIG", "yes");
            return {};
        };
        services.exec_target.logs_dir = [root = services.root](const std::string& name) {
            return root + "/" + name;
        };
        services.exec_target.console_log =
            [root = services.root](const std::string& name) -> Result<std::string> {
            if (name == "nobody") return fail(Status::not_found, "Instance not found");
            return root + "/console-" + name;
        };
    }
    Client client() { return Client(daemon_.socket_path()); }

    struct Started {
        std::string url;
        json fds;
    };
    Started post(const json& body, const std::string& what = "exec", const std::string& instance = "x") {
        auto answer = client().request("POST", "/1.0/instances/" + instance + "/" + what, body.dump());
        EXPECT_EQ(answer.status, 202) << answer.body;
        const auto operation = answer.json()["metadata"];
        const auto metadata = operation["metadata"];
        return {"/1.0/operations/" + operation["id"].get<std::string>(),
                metadata.value("fds", json::object())};
    }
    Started exec(const std::vector<std::string>& command, const json& more = json::object()) {
        json body{{"command", command},
                  {"wait-for-websocket", true},
                  {"interactive", false},
                  {"environment", json::object()}};
        body.update(more);
        return post(body);
    }
    Client attach(const Started& started, const std::string& name) {
        auto c = client();
        EXPECT_TRUE(
            c.upgrade_to_websocket(started.url + "/websocket?secret=" + started.fds[name].get<std::string>()))
            << name;
        return c;
    }
    json wait(const Started& started, const std::string& timeout = "20") {
        return client().request("GET", started.url + "/wait?timeout=" + timeout).json()["metadata"];
    }
    static std::string read_all(Client& c) {
        std::string data;
        for (;;) {
            const auto frame = c.receive_message();
            if (frame.opcode == 1 && frame.payload.empty()) return data;
            if (frame.opcode != 2) return data + "(lost)";
            data += frame.payload;
        }
    }
    static std::string read_until(Client& c, const std::string& text) {
        std::string data;
        while (!data.contains(text)) {
            const auto frame = c.receive_message();
            if (frame.opcode != 2) return data + "(lost)";
            data += frame.payload;
        }
        return data;
    }

    FakeRuntime runtime_;
    TestDaemon daemon_{{operation_routes(), exec_routes(), console_routes(), exec_output_routes()}};
};

struct Four {
    Client control, in, out, err;
};

}  // namespace lxmgr::rest
