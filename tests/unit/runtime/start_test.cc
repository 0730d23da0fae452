#include "tests/unit/runtime/fixture.h"

namespace lxmgr::runtime::test {
namespace {

class StartTest : public RuntimeTest {};
using Kind = ExitStatus::Kind;

// reboot(2) by number, since no program of a minimal host calls it without asking somebody first.
std::vector<std::string> reboot_call(const std::string& command) {
    return {"/usr/bin/perl", "-e",
            "require 'syscall.ph' if 0; syscall(169, 0xfee1dead, 672274793, " + command + "); sleep"};
}

TEST_F(StartTest, ReturnsWhenInitRuns) {
    const Running running = start("c1");
    EXPECT_GT(running.init_pid, 0);
    EXPECT_FALSE(running.ready);
    const auto program = std::filesystem::read_symlink(fmt::format("/proc/{}/exe", running.init_pid));
    EXPECT_EQ(program.filename(), "sleep");
    EXPECT_EQ(shell("c1", "hostname; id -u; echo $$").out.substr(0, 5), "c1\n0\n");
}

TEST_F(StartTest, ExitCodeOfInitIsReported) {
    start("c1", {"/bin/sh", "-c", "exit 7"});
    const auto status = events_.exit_of("c1");
    ASSERT_TRUE(status);
    EXPECT_EQ(status->kind, Kind::exited);
    EXPECT_EQ(status->code, 7);
    EXPECT_TRUE(runtime_->wait_stopped("c1", kPatience));
    EXPECT_EQ(runtime_->leftovers(), std::vector<std::string>{});
}

TEST_F(StartTest, HaltRebootAndCrashAreToldApart) {
    start("halts", reboot_call("0x4321fedc"));
    start("reboots", reboot_call("0x01234567"));
    start("crashes", {"/bin/sh", "-c", "exec perl -e 'kill 0, $$; sleep'"});
    EXPECT_EQ(events_.exit_of("halts")->kind, Kind::halt);
    EXPECT_EQ(events_.exit_of("reboots")->kind, Kind::reboot);
    ASSERT_TRUE(runtime_->kill("crashes"));
    const auto killed = events_.exit_of("crashes");
    EXPECT_EQ(killed->kind, Kind::signalled);
    EXPECT_EQ(killed->code, SIGKILL);
}

TEST_F(StartTest, SameNameTwiceIsAConflict) {
    start("c1");
    const auto second = try_start(request("c1", {"/bin/true"}));
    ASSERT_FALSE(second);
    EXPECT_EQ(second.error().status, Status::conflict);
}

TEST_F(StartTest, WhoHearsOfTheExitMayStartAgain) {
    events_.slow_listener = std::chrono::milliseconds(300);
    start("c1", {"/bin/sh", "-c", "exit 7"});
    ASSERT_TRUE(events_.exit_of("c1"));
    EXPECT_TRUE(try_start(request("c1", {"/usr/bin/sleep", "9"})));
}

TEST_F(StartTest, MissingInitNamesTheStepAndLeavesNothing) {
    const auto running = try_start(request("c1", {"/sbin/no-such-init"}));
    ASSERT_FALSE(running);
    EXPECT_EQ(running.error().message, "Executing init: No such file or directory");
    EXPECT_EQ(runtime_->leftovers(), std::vector<std::string>{});
    EXPECT_FALSE(path_exists(run_dir("c1") + "/monitor.sock"));
    EXPECT_TRUE(try_start(request("c1", {"/usr/bin/sleep", "9"})));
}

TEST_F(StartTest, FailingNetworkUndoesEverything) {
    auto asked = request("c1", {"/usr/bin/sleep", "9"});
    pid_t init = -1;
    asked.setup_network = [&init](int netns, pid_t pid) -> Result<> {
        EXPECT_GE(netns, 0);
        init = pid;
        return fail(Status::internal, "No cable");
    };
    const auto running = try_start(asked);
    ASSERT_FALSE(running);
    EXPECT_EQ(running.error().message, "No cable");
    EXPECT_NE(::kill(init, 0), 0);
    EXPECT_EQ(runtime_->leftovers(), std::vector<std::string>{});
}

TEST_F(StartTest, AttachesAreMadeInsideWhateverLinksSay) {
    auto asked = request("c1", {"/usr/bin/sleep", "infinity"});
    ASSERT_EQ(::symlinkat("/etc", asked.root_fd, "trap"), 0);
    held_.push_back(make_root());
    asked.attach.push_back({held_.back().get(), "/srv/deep/down", true});
    held_.push_back(make_root());
    asked.attach.push_back({held_.back().get(), "/trap/inside", true});
    held_.push_back(must(sys::clone_mount(AT_FDCWD, "/usr/bin/env")));
    asked.attach.push_back({held_.back().get(), "/opt/tool", false});
    must(try_start(asked));
    EXPECT_EQ(
        shell("c1", "findmnt -nro TARGET /srv/deep/down; findmnt -nro TARGET /etc/inside; /opt/tool echo ran")
            .out,
        "/srv/deep/down\n/etc/inside\nran\n");
    EXPECT_FALSE(path_exists("/etc/inside"));
}

TEST_F(StartTest, AttachThatCannotBeIsNamed) {
    auto asked = request("c1", {"/usr/bin/sleep", "9"});
    held_.push_back(make_root());
    asked.attach.push_back({held_.back().get(), "/usr/new/dir", true});  // /usr is read-only
    const auto running = try_start(asked);
    ASSERT_FALSE(running);
    EXPECT_EQ(running.error().message, "Attaching a mount on '/usr/new/dir': Read-only file system");
}

TEST_F(StartTest, ExtraDeviceNodesAreUsable) {
    auto asked = request("c1", {"/usr/bin/sleep", "infinity"});
    asked.extra_device_nodes = {"/dev/loop-control", "/dev/zero"};
    must(try_start(asked));
    EXPECT_EQ(shell("c1", "stat -c %F:%u /dev/loop-control; head -c3 /dev/zero | wc -c").out,
              "character special file:0\n3\n");
    auto second = request("c2", {"/usr/bin/sleep", "infinity"});
    second.extra_device_nodes = {"/etc/passwd"};
    EXPECT_EQ(try_start(second).error().status, Status::bad_request);
}

TEST_F(StartTest, ReadyComesFromInitAlone) {
    // Anybody inside can write to the socket; only init's word counts.
    const std::string notify =
        "use IO::Socket::UNIX; my $s = IO::Socket::UNIX->new(Type => SOCK_DGRAM, Peer => "
        "$ENV{NOTIFY_SOCKET}) or die; ";
    start("liar",
          {"/usr/bin/perl", "-e", "if (!fork) {" + notify + "$s->send('READY=1'); exit} wait; sleep"});
    start("honest", {"/usr/bin/perl", "-e", notify + "$s->send(\"STATUS=x\\nREADY=1\"); sleep"});
    EXPECT_TRUE(events_.was_ready("honest"));
    const auto liar = must(runtime_->recover("nobody", run_dir("nobody")));
    EXPECT_FALSE(liar);
    runtime_.reset();
    open_runtime();
    EXPECT_FALSE(must(runtime_->recover("liar", run_dir("liar")))->ready);
    EXPECT_TRUE(must(runtime_->recover("honest", run_dir("honest")))->ready);
}

TEST_F(StartTest, HaltIsAskedForInTheWayInitUnderstands) {
    start("classic",
          {"/usr/bin/perl", "-e", "$SIG{PWR} = sub { exit 42 }; print STDERR qq(up\\n); sleep while 1"});
    ASSERT_TRUE(
        eventually([&] { return read_console_log(console_log("classic")).value_or("").contains("up"); }));
    ASSERT_TRUE(runtime_->signal_halt("classic"));
    EXPECT_EQ(events_.exit_of("classic")->code, 42);
}

}  // namespace
}  // namespace lxmgr::runtime::test
