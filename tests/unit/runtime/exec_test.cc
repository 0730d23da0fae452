#include <sys/ioctl.h>
#include <termios.h>

#include "tests/unit/runtime/fixture.h"

namespace lxmgr::runtime::test {
namespace {

class ExecTest : public RuntimeTest {
protected:
    void SetUp() override {
        RuntimeTest::SetUp();
        if (runtime_) start("c1");
    }
};

TEST_F(ExecTest, OutputAndExitCodeComeBack) {
    const Output output = shell("c1", "echo out; echo err >&2; exit 3");
    EXPECT_EQ(output.out, "out\nerr\n");
    EXPECT_EQ(output.code, 3);
}

TEST_F(ExecTest, FailuresToExecuteAreExitCodes) {
    EXPECT_EQ(run("c1", command({"no-such-program"})).code, 127);
    EXPECT_EQ(run("c1", command({"/no/such/program"})).code, 127);
    EXPECT_EQ(run("c1", command({"/etc"})).code, 126);
    ASSERT_EQ(shell("c1", "printf 'echo script $1' > /tmp/s; chmod 755 /tmp/s; echo > /tmp/n").code, 0);
    EXPECT_EQ(run("c1", command({"/tmp/n"})).code, 126);
    EXPECT_EQ(run("c1", command({"/tmp/s", "ran"})).out, "script ran\n");
}

TEST_F(ExecTest, SignalsEndItAs128PlusNumber) {
    EXPECT_EQ(shell("c1", "kill -TERM $$").code, 128 + SIGTERM);
    const ExecHandle handle = must(runtime_->exec("c1", command({"sleep", "infinity"})));
    EXPECT_FALSE(must(exec_wait_message(handle.channel.get())));
    ASSERT_TRUE(exec_signal(handle.channel.get(), SIGINT));
    EXPECT_EQ(wait_end(handle), 128 + SIGINT);
}

TEST_F(ExecTest, UserGroupAndDirectoryAreTaken) {
    auto asked = command({"sh", "-c", "id -u; id -g; pwd; grep -c '^CapEff:.0*$' /proc/self/status"});
    asked.uid = 1000;
    asked.gid = 100;
    asked.cwd = "/tmp";
    EXPECT_EQ(run("c1", asked).out, "1000\n100\n/tmp\n1\n");
    EXPECT_EQ(run("c1", command({"pwd"})).out, "/root\n");
    auto lost = command({"pwd"});
    lost.cwd = "/nowhere";
    EXPECT_EQ(run("c1", lost).out, "/\n");
}

TEST_F(ExecTest, OrdinaryUserCanReopenItsOutput) {
    auto asked = command({"sh", "-c", "echo again > /dev/stdout"});
    asked.uid = asked.gid = 1000;
    EXPECT_EQ(run("c1", asked).out, "again\n");
}

TEST_F(ExecTest, EnvironmentIsWhatWasGiven) {
    auto asked = command({"env"});
    asked.environment = {{"A", "1"}, {"EMPTY", ""}};
    EXPECT_EQ(run("c1", asked).out, "A=1\nEMPTY=\ncontainer=lxc\n");
}

TEST_F(ExecTest, PtyIsTheContainersOwnAndResizes) {
    auto asked = command(
        {"sh", "-c",
         "tty; stty size; trap 'stty size; exit 5' WINCH; echo waiting; while :; do sleep 0.1; done"});
    asked.pty = true;
    asked.uid = 1000;
    asked.width = 100;
    asked.height = 40;
    const ExecHandle handle = must(runtime_->exec("c1", asked));
    ASSERT_TRUE(handle.pty_master.valid());
    const std::string head = read_until(handle.pty_master.get(), "waiting");
    EXPECT_TRUE(head.contains("/dev/pts/1\r\n40 100\r\n")) << head;
    const winsize size{50, 120, 0, 0};
    ASSERT_EQ(::ioctl(handle.pty_master.get(), TIOCSWINSZ, &size), 0);
    read_until(handle.pty_master.get(), "50 120");
    EXPECT_EQ(wait_end(handle), 5);
}

TEST_F(ExecTest, TerminalIsControllingAndOwnedByTheUser) {
    auto asked = command({"sh", "-c", "stat -c %u $(tty); echo > /dev/tty && echo controlling"});
    asked.pty = true;
    asked.uid = 1000;
    const ExecHandle handle = must(runtime_->exec("c1", asked));
    EXPECT_TRUE(read_until(handle.pty_master.get(), "controlling").starts_with("1000\r\n"));
    EXPECT_EQ(wait_end(handle), 0);
}

TEST_F(ExecTest, ControlCReachesTheForeground) {
    auto asked = command({"sh", "-c", "echo up; exec sleep infinity"});
    asked.pty = true;
    const ExecHandle handle = must(runtime_->exec("c1", asked));
    read_until(handle.pty_master.get(), "up");
    ASSERT_EQ(::write(handle.pty_master.get(), "\x03", 1), 1);
    EXPECT_EQ(wait_end(handle), 128 + SIGINT);
}

TEST_F(ExecTest, HundredsAtOnceAllEnd) {
    std::vector<ExecHandle> handles;
    for (int i = 0; i < 300; ++i) {
        handles.push_back(must(runtime_->exec("c1", command({"sh", "-c", fmt::format("exit {}", i % 100)}))));
    }
    for (int i = 0; i < 300; ++i) EXPECT_EQ(wait_end(handles[static_cast<std::size_t>(i)]), i % 100);
}

TEST_F(ExecTest, ManyThreadsMayAskAtTheSameTime) {
    std::vector<std::jthread> threads;
    std::atomic<int> good = 0;
    for (int i = 0; i < 100; ++i) {
        threads.emplace_back([&] { good += run("c1", command({"echo", "x"})).out == "x\n" ? 1 : 0; });
    }
    threads.clear();
    EXPECT_EQ(good, 100);
}

TEST_F(ExecTest, LargeArgumentsPass) {
    auto asked = command({"sh", "-c", "printf %s \"$A\" | wc -c"});
    asked.environment["A"] = std::string(100'000, 'x');
    EXPECT_EQ(run("c1", asked).out, "100000\n");
    for (int i = 0; i < 20; ++i) asked.environment[fmt::format("B{}", i)] = std::string(100'000, 'y');
    EXPECT_EQ(runtime_->exec("c1", asked).error().status, Status::too_large);
}

TEST_F(ExecTest, CommandOutlivesItsChannelAndTheDaemon) {
    {
        const ExecHandle handle = must(
            runtime_->exec("c1", command({"sh", "-c", "sleep 0.2; echo done > /tmp/mark; sleep infinity"})));
    }
    runtime_.reset();
    open_runtime();
    ASSERT_TRUE(must(runtime_->recover("c1", run_dir("c1"))));
    EXPECT_TRUE(eventually([&] { return shell("c1", "cat /tmp/mark").out == "done\n"; }));
}

TEST_F(ExecTest, EndOfTheContainerEndsCommands) {
    const ExecHandle handle = must(runtime_->exec("c1", command({"sleep", "infinity"})));
    ASSERT_TRUE(runtime_->kill("c1"));
    EXPECT_EQ(wait_end(handle), 128 + SIGKILL);
    EXPECT_TRUE(runtime_->wait_stopped("c1", kPatience));
    EXPECT_EQ(runtime_->exec("c1", command({"true"})).error().status, Status::not_found);
}

TEST_F(ExecTest, SeatThatWasKilledIsReplaced) {
    ASSERT_EQ(shell("c1", "true").code, 0);
    const auto cgroups = must(sys::Cgroups::open(parent_));
    const auto procs = must(cgroups.read("c1", "", ".lxmgr/cgroup.procs"));
    const auto seat = parse_int(split(procs, '\n')[0]);
    ASSERT_TRUE(seat);
    // What was asked for while it died may fail, with an error and not in silence.
    std::vector<ExecHandle> handles;
    for (int i = 0; i < 40; ++i) {
        if (i == 20) ::kill(static_cast<pid_t>(*seat), SIGKILL);
        auto handle = runtime_->exec("c1", command({"true"}));
        if (handle) handles.push_back(std::move(*handle));
    }
    EXPECT_GT(handles.size(), 30U);
    for (const ExecHandle& handle : handles) EXPECT_EQ(wait_end(handle), 0);
    ASSERT_TRUE(runtime_->kill("c1"));
    EXPECT_TRUE(runtime_->wait_stopped("c1", kPatience));
}

TEST_F(ExecTest, FrozenContainerRefuses) {
    ASSERT_TRUE(runtime_->freeze("c1"));
    EXPECT_EQ(runtime_->exec("c1", command({"true"})).error().status, Status::conflict);
    ASSERT_TRUE(runtime_->unfreeze("c1"));
    EXPECT_EQ(shell("c1", "true").code, 0);
}

}  // namespace
}  // namespace lxmgr::runtime::test
