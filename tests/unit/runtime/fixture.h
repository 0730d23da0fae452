#pragma once
#include <fcntl.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <condition_variable>
#include <filesystem>
#include <mutex>
#include <thread>

#include "lxd-daemon/base/files.h"
#include "lxd-daemon/base/strings.h"
#include "lxd-daemon/runtime/container.h"
#include "lxd-daemon/sys/cgroup.h"
#include "lxd-daemon/sys/mount.h"

/// Containers for tests: their root is a fresh tmpfs with the host's /usr, read-only, so that every program
/// of this machine can be run inside, and a start needs no image.
namespace lxmgr::runtime::test {

constexpr std::uint32_t kBase = 1'700'000'000;
constexpr std::chrono::seconds kPatience{20};

inline std::string monitor_program() {
    for (auto dir = std::filesystem::read_symlink("/proc/self/exe").parent_path(); dir != dir.parent_path();
         dir = dir.parent_path()) {
        if (std::filesystem::exists(dir / "bin/lxmgr-monitor")) return dir / "bin/lxmgr-monitor";
    }
    return "lxmgr-monitor is not built";
}

inline sys::IdMap id_map() {
    const std::vector<sys::IdRange> ranges{{0, kBase, 65536}};
    return {ranges, ranges};
}

template <typename T>
T must(Result<T> result) {
    if (!result) {
        ADD_FAILURE() << result.error().message;
        throw std::runtime_error(result.error().message);
    }
    if constexpr (!std::is_void_v<T>) return std::move(*result);
}

/// What the listener was told.
class Events {
public:
    std::chrono::milliseconds slow_listener{0};  ///< how long on_exit takes after it has told
    Listener listener() {
        Listener out;
        out.on_exit = [this](const std::string& name, const ExitStatus& status) {
            {
                const std::lock_guard lock(mutex_);
                exits_[name] = status;
                changed_.notify_all();
            }
            std::this_thread::sleep_for(slow_listener);
        };
        out.on_ready = [this](const std::string& name, std::int64_t) {
            const std::lock_guard lock(mutex_);
            ready_.push_back(name);
            changed_.notify_all();
        };
        return out;
    }
    std::optional<ExitStatus> exit_of(const std::string& name,
                                      std::chrono::milliseconds patience = kPatience) {
        std::unique_lock lock(mutex_);
        if (!changed_.wait_for(lock, patience, [&] { return exits_.contains(name); })) return std::nullopt;
        return exits_[name];
    }
    void forget() {
        const std::lock_guard lock(mutex_);
        exits_.clear();
    }
    bool was_ready(const std::string& name) {
        std::unique_lock lock(mutex_);
        return changed_.wait_for(lock, kPatience,
                                 [&] { return std::ranges::find(ready_, name) != ready_.end(); });
    }

private:
    std::mutex mutex_;
    std::condition_variable changed_;
    std::map<std::string, ExitStatus> exits_;
    std::vector<std::string> ready_;
};

/// A place with a runtime in it; TearDown finds what a test left behind.
class RuntimeTest : public testing::Test {
protected:
    void SetUp() override {
        if (::geteuid() != 0) GTEST_SKIP() << "needs root: namespaces with an id map, cgroups";
        mounts_before_ = must(read_file("/proc/self/mountinfo"));
        char dir[] = "/tmp/lxmgr-runtime-XXXXXX";
        dir_ = ::mkdtemp(dir);
        parent_ = fmt::format("lxmgr-test-{}", ::getpid());
        open_runtime();
    }

    void TearDown() override {
        if (dir_.empty()) return;
        for (const std::string& name : started_) {
            if (runtime_->kill(name)) runtime_->wait_stopped(name, kPatience);
        }
        runtime_.reset();
        // Monitors that an earlier runtime of this test started are our children, and nobody else's.
        EXPECT_TRUE(eventually([] { return ::waitpid(-1, nullptr, WNOHANG) == -1; })) << "a child is left";
        EXPECT_EQ(must(read_file("/proc/self/mountinfo")), mounts_before_);
        {
            auto cgroups = must(sys::Cgroups::open(parent_));
            EXPECT_EQ(cgroups.names(), std::vector<std::string>{});
        }
        remove_parents();
        EXPECT_TRUE(remove_tree(dir_));
    }

    void open_runtime() {
        runtime_.reset();
        runtime_ = must(Runtime::open({monitor_program(), parent_}, events_.listener()));
    }

    std::string run_dir(const std::string& name) const { return dir_ + "/" + name; }
    std::string console_log(const std::string& name) const { return dir_ + "/" + name + ".console"; }

    static UniqueFd make_root() {
        auto tmpfs = must(sys::FsContext::open("tmpfs"));
        must(tmpfs.set("uid", std::to_string(kBase)));
        must(tmpfs.set("gid", std::to_string(kBase)));
        must(tmpfs.set("mode", "0755"));
        must(tmpfs.create());
        UniqueFd root = must(tmpfs.mount(0));
        for (const char* name : {"bin", "sbin", "lib", "lib64", "lib32", "libx32"}) {
            const std::string target = fmt::format("usr/{}", name);
            EXPECT_EQ(::symlinkat(target.c_str(), root.get(), name), 0);
        }
        for (const char* name : {"usr", "etc", "root", "tmp"}) {
            EXPECT_EQ(::mkdirat(root.get(), name, 0755), 0);
            EXPECT_EQ(::fchownat(root.get(), name, kBase, kBase, 0), 0);
        }
        return root;
    }

    static UniqueFd host_usr() {
        UniqueFd usr = must(sys::clone_mount(AT_FDCWD, "/usr"));
        must(sys::change_attributes(usr.get(), MOUNT_ATTR_RDONLY, 0));
        return usr;
    }

    /// A request whose descriptors live as long as this test.
    StartRequest request(const std::string& name, std::vector<std::string> init) {
        StartRequest out;
        out.name = name;
        out.hostname = name;
        out.run_dir = run_dir(name);
        out.console_log = console_log(name);
        out.idmap = id_map();
        out.owner_uid = kBase - 1;
        out.init = std::move(init);
        out.uuid = "7e5b0c3f-3d7b-4a32-9c3e-0a6f0a6f0a6f";
        out.environment = {"HOME=/root"};
        held_.push_back(make_root());
        out.root_fd = held_.back().get();
        held_.push_back(host_usr());
        out.attach.push_back({held_.back().get(), "/usr", true});
        return out;
    }

    Result<Running> try_start(const StartRequest& request) {
        started_.push_back(request.name);
        return runtime_->start(request);
    }
    Running start(const std::string& name, std::vector<std::string> init = {"/usr/bin/sleep", "infinity"}) {
        return must(try_start(request(name, std::move(init))));
    }

    struct Output {
        int code = -1;
        std::string out;
    };
    static int wait_end(const ExecHandle& handle) {
        for (;;) {
            const auto end = must(exec_wait_message(handle.channel.get()));
            if (end) return end->exit_code;
            pollfd waited{handle.channel.get(), POLLIN, 0};
            if (::poll(&waited, 1, 20'000) == 0) {
                ADD_FAILURE() << "the command does not end";
                return -1;
            }
        }
    }
    static ExecRequest command(std::vector<std::string> argv) {
        ExecRequest out;
        out.argv = std::move(argv);
        out.environment = {{"PATH", "/usr/sbin:/usr/bin:/sbin:/bin"}, {"HOME", "/root"}};
        return out;
    }
    Output run(const std::string& name, ExecRequest request) {
        int ends[2];
        EXPECT_EQ(::pipe2(ends, O_CLOEXEC), 0);
        const UniqueFd reading(ends[0]);
        UniqueFd writing(ends[1]);
        request.stdout_fd = request.stderr_fd = writing.get();
        const ExecHandle handle = must(runtime_->exec(name, request));
        writing.reset();
        Output output;
        char buffer[4096];
        for (ssize_t n = 0; (n = ::read(reading.get(), buffer, sizeof buffer)) > 0;) {
            output.out.append(buffer, static_cast<std::size_t>(n));
        }
        output.code = wait_end(handle);
        return output;
    }
    Output shell(const std::string& name, const std::string& script) {
        return run(name, command({"sh", "-c", script}));
    }

    /// Reads a descriptor until the text shows up.
    static std::string read_until(int fd, const std::string& wanted) {
        std::string all;
        while (!all.contains(wanted)) {
            pollfd waited{fd, POLLIN, 0};
            if (::poll(&waited, 1, 20'000) <= 0) break;
            char buffer[4096];
            const ssize_t n = ::read(fd, buffer, sizeof buffer);
            if (n <= 0) break;
            all.append(buffer, static_cast<std::size_t>(n));
        }
        EXPECT_TRUE(all.contains(wanted)) << "read: " << all;
        return all;
    }

    /// Waits until a file, which a container writes, holds the text.
    template <typename Read>
    static bool eventually(Read condition) {
        const auto deadline = std::chrono::steady_clock::now() + kPatience;
        while (!condition()) {
            if (std::chrono::steady_clock::now() > deadline) return false;
            ::poll(nullptr, 0, 5);
        }
        return true;
    }

    void remove_parents() {
        const auto mounts = must(read_file("/proc/self/mountinfo"));
        for (const std::string& line : split(mounts, '\n')) {
            if (!line.contains(" - cgroup")) continue;
            const std::string group = fmt::format("{}/{}", split(line, ' ')[4], parent_);
            ::rmdir((group + "/.monitors").c_str());
            EXPECT_FALSE(path_exists(group + "/.spare"));
            EXPECT_TRUE(::rmdir(group.c_str()) == 0 || errno == ENOENT) << group;
        }
    }

    Events events_;
    std::string dir_, parent_;
    std::unique_ptr<Runtime> runtime_;
    std::vector<std::string> started_;
    std::vector<UniqueFd> held_;
    std::string mounts_before_;
};

}  // namespace lxmgr::runtime::test
