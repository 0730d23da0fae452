#include "images/build.h"

#include <gmock/gmock.h>
#include <sys/wait.h>

#include <thread>

#include "image_fixture.h"
#include "images/apt_sources.h"
#include "images/image_pack.h"
#include "images/machine_init.h"
#include "images/machine_tree.h"
#include "images/pipeline.h"

namespace lxmgr::images {
namespace {

using testing::Contains;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsSupersetOf;
using testing::Not;

TEST(PipelineTest, ConnectsProgramsAndGivesLines) {
    std::vector<std::string> lines;
    ASSERT_OK(run_pipeline({{.argv = {"printf", "b\\na\\n\\nc"}}, {.argv = {"sort", "-r"}}}, {},
                           [&](std::string_view line) { lines.emplace_back(line); }));
    EXPECT_THAT(lines, ElementsAre("c", "b", "a"));
}

TEST(PipelineTest, NamesTheProgramThatFailed) {
    const auto result =
        run_pipeline({{.argv = {"cat", "/nonexistent-file"}}, {.argv = {"cat"}}}, {}, nullptr);
    ASSERT_FALSE(result);
    EXPECT_THAT(result.error().message, HasSubstr("'cat' exited with 1"));
    EXPECT_THAT(result.error().message, HasSubstr("/nonexistent-file"));
    EXPECT_EQ(run_pipeline({{.argv = {"no-such-program"}}}, {}, nullptr).error().status, Status::not_found);
    EXPECT_FALSE(run_pipeline({{.argv = {"sleep", "100"}}, {.argv = {"no-such-program"}}}, {}, nullptr));
}

TEST(PipelineTest, EndsProgramsOnAStopRequest) {
    std::stop_source stop;
    const auto started = std::chrono::steady_clock::now();
    const std::jthread stopper([&stop] { stop.request_stop(); });
    const auto result =
        run_pipeline({{.argv = {"sleep", "100"}}, {.argv = {"sleep", "100"}}}, stop.get_token(), nullptr);
    ASSERT_FALSE(result);
    EXPECT_EQ(result.error().status, Status::unavailable);
    EXPECT_LT(std::chrono::steady_clock::now() - started, std::chrono::seconds(5));
    EXPECT_LT(::waitpid(-1, nullptr, WNOHANG), 0) << "a child was left";
}

TEST(AptSourcesTest, FindsTheMachinesDebianMirrors) {
    const auto mirrors = debian_mirrors(
        "https://packages.example/apt/ stable main\n"
        "https://download.docker.com/linux/debian/ bookworm stable\n"
        "http://security.example/debian-security/ bookworm-security main\n"
        "http://mirror.example/debian/ bookworm main\n"
        "http://deb.debian.org/debian/ sid main\n\nodd line\n");
    EXPECT_EQ(mirrors.archive, "http://mirror.example/debian/");
    EXPECT_EQ(mirrors.security, "http://security.example/debian-security/");
    EXPECT_EQ(debian_mirrors("http://archive.ubuntu.com/ubuntu/ noble main\n").archive,
              "http://deb.debian.org/debian");
}

TEST(AptSourcesTest, ReleasesHaveUpdatesAndSidHasNone) {
    EXPECT_EQ(debian_suite("12"), "bookworm");
    EXPECT_EQ(debian_suite("13"), "trixie");
    EXPECT_EQ(debian_suite("sid"), "sid");
    const AptMirrors mirrors{"http://m/debian", "http://s/debian-security"};
    const AptAccess access{"[signed-by=/k.gpg] ", {"main"}};
    EXPECT_THAT(debian_sources("bookworm", mirrors, access),
                ElementsAre("deb [signed-by=/k.gpg] http://m/debian bookworm main",
                            "deb [signed-by=/k.gpg] http://m/debian bookworm-updates main",
                            "deb [signed-by=/k.gpg] http://s/debian-security bookworm-security main"));
    EXPECT_THAT(debian_sources("sid", mirrors, {}), ElementsAre("deb http://m/debian sid main"));
    EXPECT_THAT(debian_sources("buster", mirrors, {}),
                Contains("deb http://s/debian-security buster/updates main"));
}

TEST(AptSourcesTest, UbuntuHasItsOwnMirrors) {
    EXPECT_EQ(ubuntu_suite("24.04"), "noble");
    EXPECT_EQ(ubuntu_suite("devel"), "devel");
    const auto own = ubuntu_mirrors(
        "http://mirror.example/debian/ bookworm main\n"
        "http://ppa.example/someone/ubuntu-like noble main\n"
        "http://mirror.example/ubuntu noble-security main\n"
        "http://mirror.example/ubuntu noble universe\n"
        "http://other.example/ubuntu/ noble main\n",
        "x86_64");
    EXPECT_EQ(own.archive, "http://other.example/ubuntu/");
    EXPECT_EQ(own.security, "http://mirror.example/ubuntu");
    EXPECT_EQ(ubuntu_mirrors("", "x86_64").archive, "http://archive.ubuntu.com/ubuntu");
    EXPECT_EQ(ubuntu_mirrors("", "x86_64").security, "http://security.ubuntu.com/ubuntu");
    EXPECT_EQ(ubuntu_mirrors("", "aarch64").archive, "http://ports.ubuntu.com/ubuntu-ports");
    EXPECT_THAT(ubuntu_sources("noble", {"http://m", "http://s"}, {"", {"main", "universe"}}),
                ElementsAre("deb http://m noble main universe", "deb http://m noble-updates main universe",
                            "deb http://s noble-security main universe"));
}

TEST(BuildImageTest, RefusesNamesThatAreOptionsOrWorse) {
    TempDir temp;
    for (const BuildRequest& request :
         {BuildRequest{.distribution = "debian", .release = "--help"},
          BuildRequest{.distribution = "debian", .release = ""},
          BuildRequest{.distribution = "debian", .release = "a b"},
          BuildRequest{.distribution = "plan9", .release = "4"},
          BuildRequest{.distribution = "debian", .release = "12", .mirror = "deb [trusted=yes] http://x y"},
          BuildRequest{.distribution = "debian", .release = "12", .mirror = "/etc/passwd"},
          BuildRequest{.distribution = "ubuntu", .release = "24.04", .init = "sysvinit"},
          BuildRequest{.distribution = "ubuntu", .release = "24.04", .keyring = "/etc/a] b"},
          BuildRequest{.distribution = "ubuntu", .release = "24.04", .keyring = "/nonexistent"},
          BuildRequest{
              .distribution = "ubuntu", .release = "24.04", .keyring = "/etc/passwd", .is_unsigned = true},
          BuildRequest{.distribution = "ubuntu", .release = "24.04", .components = {"a b"}},
          BuildRequest{.distribution = "fedora", .release = "42", .init = "sysvinit"},
          BuildRequest{.distribution = "fedora", .release = "heisenbug"},
          BuildRequest{.distribution = "fedora", .release = "42", .components = {"main"}},
          BuildRequest{
              .distribution = "debian", .release = "12", .mirror = "", .extra_packages = {"-oAPT::x"}},
          BuildRequest{.distribution = "debian",
                       .release = "12",
                       .mirror = "",
                       .extra_packages = {},
                       .init = "upstart"},
          BuildRequest{.distribution = "debian", .release = "12", .mirror = "", .extra_packages = {"a,b"}}}) {
        BuildRequest complete = request;
        complete.output_dir = temp.path();
        const auto result = build_image(complete, {}, nullptr);
        ASSERT_FALSE(result);
        EXPECT_EQ(result.error().status, Status::bad_request) << result.error().message;
    }
    EXPECT_TRUE(std::filesystem::is_empty(temp.path()));
}

TEST(BuildImageTest, LeavesNothingBehindWhenTheInstallationFails) {
    if (::geteuid() != 0) GTEST_SKIP() << "mmdebstrap's root mode needs root";
    TempDir temp;
    const BuildRequest request{.distribution = "debian",
                               .release = "bookworm",
                               .mirror = "file:///nonexistent",
                               .output_dir = temp.path()};
    const auto result = build_image(request, {}, nullptr);
    ASSERT_FALSE(result);
    EXPECT_THAT(result.error().message, HasSubstr("mmdebstrap"));
    EXPECT_TRUE(std::filesystem::is_empty(temp.path()));
}

TEST(RootTreeTest, AbsoluteSymlinksStayInside) {
    TempDir temp;
    temp.make("tree/var");
    temp.make("outside/log");
    write_text(temp / "outside/log/file", "untouched");
    std::filesystem::create_symlink(temp / "outside", temp / "tree/etc");
    std::filesystem::create_symlink(temp / "outside/log", temp / "tree/var/log");
    std::filesystem::create_symlink("../../outside", temp / "tree/up");
    auto tree = RootTree::open(temp / "tree");
    ASSERT_TRUE(tree);
    EXPECT_FALSE(tree->write("/etc/hostname", "x"));
    ASSERT_OK(tree->empty("/var/log"));
    ASSERT_OK(tree->empty_of_files("/up/log"));
    ASSERT_OK(tree->remove("/var/log/file"));
    EXPECT_EQ(read_text(temp / "outside/log/file"), "untouched");
    EXPECT_FALSE(path_exists(temp / "outside/hostname"));
}

TEST(RootTreeTest, ReplacesSymlinksAndMakesParents) {
    TempDir temp;
    temp.make("tree/etc");
    write_text(temp / "host", "host's");
    std::filesystem::create_symlink(temp / "host", temp / "tree/etc/hostname");
    auto tree = RootTree::open(temp / "tree");
    ASSERT_TRUE(tree);
    ASSERT_OK(tree->write("/etc/hostname", "guest\n"));
    ASSERT_OK(tree->write("/a/b/c", "deep", 0600));
    ASSERT_OK(tree->symlink("../run/x", "/etc/hostname"));
    EXPECT_EQ(read_text(temp / "host"), "host's");
    EXPECT_EQ(read_text(temp / "tree/a/b/c"), "deep");
    EXPECT_EQ(stat_of(temp / "tree/a/b").st_mode & 07777u, 0755u);
    EXPECT_EQ(std::filesystem::read_symlink(temp / "tree/etc/hostname"), "../run/x");
}

TEST(RootTreeTest, EmptiesLogsAndKeepsTheirDirectories) {
    TempDir temp;
    temp.make("tree/var/log/apt");
    write_text(temp / "tree/var/log/dpkg.log", "x");
    write_text(temp / "tree/var/log/apt/term.log", "x");
    auto tree = RootTree::open(temp / "tree");
    ASSERT_TRUE(tree);
    ASSERT_OK(tree->empty_of_files("/var/log"));
    ASSERT_OK(tree->empty_of_files("/not/there"));
    EXPECT_TRUE(std::filesystem::is_empty(temp / "tree/var/log/apt"));
    EXPECT_FALSE(path_exists(temp / "tree/var/log/dpkg.log"));
}

TEST(MachineInitTest, EachHasItsPackages) {
    const auto systemd = find_machine_init("systemd");
    const auto sysvinit = find_machine_init("sysvinit");
    ASSERT_TRUE(systemd && sysvinit);
    EXPECT_THAT(machine_packages(**systemd, "bookworm"),
                IsSupersetOf({"systemd-sysv", "systemd-resolved", "sudo"}));
    EXPECT_THAT(machine_packages(**systemd, "bullseye"), Not(Contains("systemd-resolved")));
    EXPECT_THAT(machine_packages(**sysvinit, "bookworm"),
                IsSupersetOf({"sysvinit-core", "ifupdown", "sudo"}));
    EXPECT_THAT(machine_packages(**sysvinit, "bookworm"), Not(Contains(HasSubstr("systemd"))));
    EXPECT_THAT(find_machine_init("upstart").error().message, HasSubstr("systemd, sysvinit"));
}

/// A tree in which systemctl and update-rc.d only note how they were called.
class MachineTreeTest : public testing::Test {
protected:
    MachineTreeTest() : path_(temp_.make("tree")) {
        temp_.make("tree/bin");
        std::filesystem::copy_file("/usr/bin/busybox", path_ + "/bin/busybox");
        for (const char* name : {"usr/bin/systemctl", "usr/sbin/update-rc.d"}) {
            add(name, "#!/bin/busybox sh\necho \"$@\" >> /calls\n");
        }
        for (const char* unit :
             {"systemd-networkd", "systemd-networkd-wait-online", "NetworkManager-wait-online"})
            add(std::string("usr/lib/systemd/system/") + unit + ".service");
    }
    void add(const std::string& name, const std::string& content = "") {
        std::filesystem::create_directories(std::filesystem::path(path_ + "/" + name).parent_path());
        write_text(path_ + "/" + name, content);
        ASSERT_EQ(::chmod((path_ + "/" + name).c_str(), 0755), 0);
    }
    void finish(const char* init) {
        const auto tree = RootTree::open(path_);
        ASSERT_TRUE(tree);
        ASSERT_OK(finish_machine_tree(*tree, **find_machine_init(init)));
    }
    std::string calls() const { return read_text(path_ + "/calls"); }
    bool has(const std::string& name) const { return path_exists(path_ + "/" + name); }
    TempDir temp_;
    std::string path_;
};

TEST_F(MachineTreeTest, NetworkdIsUsedWhereNothingElseIs) {
    add("usr/lib/systemd/systemd-resolved");
    finish("systemd");
    EXPECT_THAT(calls(), HasSubstr("enable systemd-networkd.service\n"));
    EXPECT_THAT(calls(), HasSubstr("enable systemd-resolved.service\n"));
    EXPECT_TRUE(has("etc/systemd/network/eth0.network"));
}

TEST_F(MachineTreeTest, NetplanHasAFileThatCloudInitReplaces) {
    add("usr/sbin/netplan");
    finish("systemd");
    EXPECT_EQ(stat_of(path_ + "/etc/netplan/10-eth0.yaml").st_mode & 07777u, 0600u);
    EXPECT_THAT(calls(), HasSubstr("mask systemd-networkd-wait-online.service\n"));
    EXPECT_FALSE(has("etc/systemd/network/eth0.network"));
    add("usr/bin/cloud-init");
    finish("systemd");
    EXPECT_TRUE(has("etc/netplan/50-cloud-init.yaml"));
}

TEST_F(MachineTreeTest, NetworkManagerIsAloneAndIsNotWaitedFor) {
    add("usr/sbin/NetworkManager");
    finish("systemd");
    EXPECT_THAT(calls(), HasSubstr("disable systemd-networkd.service\n"));
    EXPECT_THAT(calls(), HasSubstr("disable NetworkManager-wait-online.service\n"));
    EXPECT_FALSE(has("etc/systemd/network/eth0.network"));
    EXPECT_EQ(stat_of(path_ + "/etc/NetworkManager/system-connections/eth0.nmconnection").st_mode & 07777u,
              0600u);
}

TEST_F(MachineTreeTest, WhatIsTheHostsIsMaskedAndWhatIsAbsentIsLeftAlone) {
    add("usr/sbin/NetworkManager");
    add("usr/sbin/sshd");
    add("usr/lib/systemd/system/lvm2-monitor.service");
    add("usr/lib/systemd/system/sshd-keygen.target");
    std::filesystem::remove(path_ + "/usr/lib/systemd/system/systemd-networkd.service");
    finish("systemd");
    EXPECT_EQ(std::filesystem::read_symlink(path_ + "/etc/systemd/system/lvm2-monitor.service"), "/dev/null");
    EXPECT_FALSE(std::filesystem::is_symlink(path_ + "/etc/systemd/system/mdmonitor.service"));
    EXPECT_THAT(calls(), Not(HasSubstr("disable systemd-networkd.service")));
    EXPECT_FALSE(has("etc/systemd/system/ssh.service.d")) << "Fedora's sshd makes its keys itself";
}

TEST_F(MachineTreeTest, SysvinitHaltsWhenTheHostSaysSoAndHasItsConsole) {
    add("etc/init.d/hwclock.sh");
    add("usr/sbin/sshd");
    finish("sysvinit");
    EXPECT_THAT(read_text(path_ + "/etc/inittab"), HasSubstr("powerwait:/sbin/shutdown -h now"));
    EXPECT_THAT(read_text(path_ + "/etc/inittab"), Not(HasSubstr("tty1")));
    EXPECT_THAT(read_text(path_ + "/etc/default/ssh"), HasSubstr("ssh-keygen -A"));
    EXPECT_EQ(calls(), "-f hwclock.sh remove\n");
}

class PackTest : public testing::Test {
protected:
    PackTest() : tree_(temp_.make("tree")) {
        temp_.make("tree/usr/share/doc/a");
        temp_.make("tree/etc");
        add("usr/share/doc/a/changelog.gz", 1'600'000'000);
        add("etc/old", 1'500'000'000);
        add("etc/today", 1'900'000'000);
    }
    void add(const std::string& name, time_t seconds) {
        write_text(tree_ + "/" + name, name);
        const timespec times[2]{{seconds, 0}, {seconds, 0}};
        ASSERT_EQ(::utimensat(AT_FDCWD, (tree_ + "/" + name).c_str(), times, 0), 0);
    }
    Metadata metadata() const {
        Metadata out;
        out.architecture = "x86_64";
        out.creation_date = Time{std::chrono::seconds(1'600'000'000)};
        out.templates["/etc/hostname"] = {{"create"}, false, "hostname.tpl", {}};
        return out;
    }
    TempDir temp_;
    std::string tree_;
};

TEST_F(PackTest, MakesAnImageThatImportsAndUnpacks) {
    const auto newest = newest_package(tree_);
    ASSERT_TRUE(newest) << newest.error().message;
    EXPECT_EQ(newest->time_since_epoch().count(), 1'600'000'000);
    ASSERT_OK(pack_rootfs(tree_, temp_ / "rootfs.squashfs", *newest, {}));
    ASSERT_OK(
        pack_metadata(metadata(), {{"hostname.tpl", "{{ container.name }}\n"}}, temp_ / "metadata.tar.xz"));
    const auto image = import_upload({temp_ / "metadata.tar.xz", temp_ / "rootfs.squashfs"}, nullptr,
                                     temp_.make("store"), {});
    ASSERT_TRUE(image) << image.error().message;
    ASSERT_OK(unpack_into(image->files, temp_ / "out"));
    EXPECT_EQ(stat_of(temp_ / "out/etc/old").st_mtim.tv_sec, 1'500'000'000);
    EXPECT_EQ(stat_of(temp_ / "out/etc/today").st_mtim.tv_sec, 1'600'000'000);
}

TEST_F(PackTest, TheNewestFileIsOneOfAPackage) {
    using Seconds = std::chrono::sys_seconds;
    const auto newest = newest_file(tree_, Seconds(std::chrono::seconds(1'900'000'000)));
    ASSERT_TRUE(newest) << newest.error().message;
    EXPECT_EQ(newest->time_since_epoch().count(), 1'600'000'000);
    EXPECT_FALSE(newest_file(tree_, Seconds(std::chrono::seconds(1'600'000'000))));
}

TEST_F(PackTest, GivesTheSameBytesForTheSameTree) {
    for (const char* out : {"one", "two"}) {
        ASSERT_OK(pack_rootfs(tree_, temp_ / out,
                              std::chrono::sys_seconds(std::chrono::seconds(1'600'000'000)), {}));
        ASSERT_OK(pack_metadata(metadata(), {{"hostname.tpl", "x"}}, temp_ / (std::string(out) + "-meta")));
        add("etc/today", 1'950'000'000);
    }
    EXPECT_EQ(read_text(temp_ / "one"), read_text(temp_ / "two"));
    EXPECT_EQ(read_text(temp_ / "one-meta"), read_text(temp_ / "two-meta"));
}

}  // namespace
}  // namespace lxmgr::images
