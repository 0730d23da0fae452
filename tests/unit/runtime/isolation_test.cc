#include "tests/unit/runtime/fixture.h"

namespace lxmgr::runtime::test {
namespace {

/// What the guest must not get, seen both by init and by a command.
class IsolationTest : public RuntimeTest {
protected:
    /// Runs the script as init, which then sleeps, and as a command. @return both outputs
    std::vector<std::string> both(const std::string& name, const std::string& script) {
        start(name,
              {"/bin/sh", "-c", "(" + script + ") > /tmp/out 2>&1; echo finished; exec sleep infinity"});
        EXPECT_TRUE(eventually(
            [&] { return read_console_log(console_log(name)).value_or("").contains("finished"); }));
        return {shell(name, "cat /tmp/out").out, shell(name, script).out};
    }
};

TEST_F(IsolationTest, NoDescriptorLeaksIn) {
    // 0-2; ls itself opens one more.
    for (const std::string& seen :
         both("c1", "exec perl -e 'for (3..1000) { print qq($_ ) if -e qq(/proc/$$/fd/$_) }; print 42'")) {
        EXPECT_TRUE(seen == "42" || seen == "3 42") << seen;
    }
}

TEST_F(IsolationTest, WorkingDirectoryIsInside) {
    for (const std::string& seen :
         both("c1", "readlink /proc/self/cwd; cat /proc/self/mountinfo | grep -c ' / / '")) {
        EXPECT_TRUE(seen == "/\n1\n" || seen == "/root\n1\n") << seen;
    }
}

TEST_F(IsolationTest, PrivilegesAreThoseOfTheUserNamespace) {
    const std::string script =
        "grep -E '^(CapInh|CapAmb|NoNewPrivs|Seccomp):' /proc/self/status | tr -d '\\t\\n'; cat "
        "/proc/self/uid_map | tr -s ' '; "
        "id -G; cat /proc/self/cgroup | grep -v ':/$' | grep -v '^0::/.lxmgr$'; ls /proc/1/root >/dev/null "
        "&& echo own";
    for (const std::string& seen : both("c1", script)) {
        EXPECT_EQ(
            seen,
            fmt::format(
                "CapInh:0000000000000000CapAmb:0000000000000000NoNewPrivs:0Seccomp:2 0 {} 65536\n0\nown\n",
                kBase));
    }
}

TEST_F(IsolationTest, SystemCallsOfTheDenylistAreRefused) {
    // finit_module, kexec_load, open_by_handle_at, delete_module, init_module: ENOSYS (38);
    // umount2(MNT_FORCE): EACCES (13).
    const std::string script =
        "exec perl -e 'for (313, 246, 304, 176, 175) { syscall($_, 0, 0, 0, 0); print $!+0, q( ) } "
        "my $p = q(/tmp); syscall(166, $p, 1); print $!+0'";
    for (const std::string& seen : both("c1", script)) EXPECT_EQ(seen, "38 38 38 38 38 13");
}

TEST_F(IsolationTest, HostsKnobsAndDevicesAreOutOfReach) {
    const std::string script =
        "mknod /tmp/sda b 8 0 && echo made; echo 1 > /proc/sys/kernel/panic && echo wrote; echo b > "
        "/proc/sysrq-trigger && echo wrote; "
        "echo x > /sys/kernel/uevent_helper && echo wrote; mount -o remount,rw /usr && echo remounted; "
        "hostname; "
        "echo > /sys/fs/cgroup/cgroup.freeze && echo frozen; true";
    for (const std::string& seen : both("c1", script)) {
        for (const char* broken : {"made", "wrote", "remounted", "frozen"})
            EXPECT_FALSE(seen.contains(broken)) << seen;
    }
}

TEST_F(IsolationTest, SeatAndMonitorAreInvisible) {
    start("c1");
    ASSERT_EQ(shell("c1", "true").code, 0);
    EXPECT_FALSE(shell("c1", "cat /proc/[0-9]*/comm").out.contains("lxmgr"));
    EXPECT_EQ(shell("c1", "cat /sys/fs/cgroup/.lxmgr/cgroup.procs | sort -nu | head -1").out,
              "0\n");  // no number in here
    EXPECT_NE(shell("c1", "echo 1 > /sys/fs/cgroup/.lxmgr/cgroup.kill").code, 0);
}

TEST_F(IsolationTest, ProgramFileOfTheMonitorCannotBeWritten) {
    // CVE-2019-5736: a "program" whose interpreter is /proc/self/exe runs the host's file inside.
    start("c1");
    ASSERT_EQ(shell("c1", "printf '#!/proc/self/exe\\n' > /tmp/trap; chmod 755 /tmp/trap").code, 0);
    const Output output = run("c1", command({"/tmp/trap"}));
    EXPECT_NE(output.code, 0);
    const auto exe = std::filesystem::read_symlink(
        fmt::format("/proc/{}/exe", must(runtime_->exec("c1", command({"sleep", "1"}))).pid));
    const auto status = must(read_file("/proc/self/status"));
    EXPECT_EQ(shell("c1", "true").code, 0);
}

TEST_F(IsolationTest, HostsSharedMountsStayApart) {
    // On systemd hosts / is shared; here a clone of a shared mount stands for it.
    auto asked = request("c1", {"/usr/bin/sleep", "infinity"});
    const std::string shared = dir_ + "/shared";
    ASSERT_TRUE(make_directory(shared));
    ASSERT_EQ(::mount("none", shared.c_str(), "tmpfs", 0, nullptr), 0);
    const sys::MountGuard guard(shared);
    ASSERT_EQ(::mount(nullptr, shared.c_str(), nullptr, MS_SHARED, nullptr), 0);
    held_.push_back(must(sys::clone_mount(AT_FDCWD, shared)));
    asked.attach.push_back({held_.back().get(), "/mnt/shared", true});
    must(try_start(asked));
    ASSERT_EQ(shell("c1", "mkdir -p /mnt/shared/a; mount -t tmpfs none /tmp").code, 0);
    EXPECT_EQ(shell("c1", "grep -c shared: /proc/self/mountinfo").out, "0\n");
}

TEST_F(IsolationTest, LinksInTheRootLeadNowhere) {
    // A hostile image: /proc, /sys, /run and /dev are links to the host's places.
    auto asked = request("c1", {"/usr/bin/sleep", "infinity"});
    for (const char* name : {"proc", "sys", "run", "dev"}) {
        ASSERT_EQ(::symlinkat("../../../../../../etc", asked.root_fd, name), 0);
    }
    const auto running = try_start(asked);
    if (running) {
        ASSERT_TRUE(runtime_->kill("c1"));
    }
    EXPECT_FALSE(path_exists("/etc/host/notify"));
    EXPECT_FALSE(path_exists("/etc/pts"));
}

TEST_F(IsolationTest, SocketsAndRecordsAreTheDaemonsAlone) {
    start("c1");
    struct stat info{};
    ASSERT_EQ(::stat((run_dir("c1") + "/monitor.sock").c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 0777, 0600U);
    ASSERT_EQ(::stat(run_dir("c1").c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 0777, 0700U);
    ASSERT_EQ(::stat(console_log("c1").c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 0777, 0600U);
}

}  // namespace
}  // namespace lxmgr::runtime::test
