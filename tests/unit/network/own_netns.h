#pragma once
#include <fcntl.h>
#include <gtest/gtest.h>
#include <net/if.h>
#include <sched.h>
#include <stdlib.h>
#include <sys/ioctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <functional>
#include <optional>
#include <string>

#include "lxd-daemon/base/files.h"
#include "lxd-daemon/base/own.h"

namespace lxmgr::network {

inline UniqueFd current_netns() { return UniqueFd(::open("/proc/thread-self/ns/net", O_RDONLY | O_CLOEXEC)); }

inline void set_flags_up(const char* name) {
    const UniqueFd fd(::socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0));
    ifreq request{};
    std::string(name).copy(request.ifr_name, IFNAMSIZ - 1);
    ASSERT_EQ(::ioctl(fd.get(), SIOCGIFFLAGS, &request), 0) << name;
    request.ifr_flags = static_cast<short>(request.ifr_flags | IFF_UP);
    ASSERT_EQ(::ioctl(fd.get(), SIOCSIFFLAGS, &request), 0) << name;
}

/// A fresh network namespace with its loopback up, for as long as this lives; the caller's thread is not in
/// it.
class Netns {
public:
    Netns() {
        const UniqueFd before = current_netns();
        EXPECT_EQ(::unshare(CLONE_NEWNET), 0);
        fd_ = current_netns();
        set_flags_up("lo");
        EXPECT_EQ(::setns(before.get(), CLONE_NEWNET), 0);
    }
    [[nodiscard]] int fd() const { return fd_.get(); }
    /// Runs `body` with this thread inside.
    void run(const std::function<void()>& body) const {
        const UniqueFd before = current_netns();
        ASSERT_EQ(::setns(fd_.get(), CLONE_NEWNET), 0);
        body();
        ASSERT_EQ(::setns(before.get(), CLONE_NEWNET), 0);
    }

private:
    UniqueFd fd_;
};

/// Every test runs in a network namespace of its own, with a state directory of its own.
class NetnsTest : public ::testing::Test {
protected:
    void SetUp() override {
        if (::geteuid() != 0) GTEST_SKIP() << "needs root: network namespaces";
        outer_ = current_netns();
        host_.emplace();
        ASSERT_EQ(::setns(host_->fd(), CLONE_NEWNET), 0);
        char path[] = "/tmp/lxmgr-network-XXXXXX";
        ASSERT_NE(::mkdtemp(path), nullptr);
        ASSERT_EQ(::chmod(path, 0711), 0);
        state_dir_ = path;
    }
    void TearDown() override {
        if (!outer_) return;
        EXPECT_EQ(::setns(outer_.get(), CLONE_NEWNET), 0);
        EXPECT_TRUE(remove_tree(state_dir_));
    }

    std::string state_dir_;

private:
    UniqueFd outer_;
    std::optional<Netns> host_;
};

}  // namespace lxmgr::network
