#include "tests/conformance/ground.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <linux/loop.h>
#include <sched.h>
#include <sys/ioctl.h>
#include <sys/mount.h>
#include <unistd.h>

#include <cstdlib>
#include <map>

#include "lxd-daemon/base/files.h"
#include "lxd-daemon/base/own.h"
#include "lxd-daemon/base/spawn.h"

namespace lxmgr::conformance {
namespace {

constexpr off_t kImageBytes = off_t{1400} << 20;  // sparse; pools of lvm have 1200 MiB

const std::string& scratch() {
    static const std::string path = [] {
        const char* const base = std::getenv("TMPDIR");
        std::string text = fmt::format("{}/lxmgr-conformance-XXXXXX", base != nullptr ? base : "/tmp");
        return ::mkdtemp(text.data()) == nullptr ? std::string() : text;
    }();
    return path;
}

Result<std::string> attach_loop(const std::string& image, UniqueFd& device) {
    const UniqueFd file(::open(image.c_str(), O_RDWR | O_CLOEXEC));
    const UniqueFd control(::open("/dev/loop-control", O_RDWR | O_CLOEXEC));
    if (!file || !control) return fail_errno("Opening", "/dev/loop-control");
    for (int tries = 0; tries < 20; ++tries) {  // another process may take the free one first
        const int number = ::ioctl(control.get(), LOOP_CTL_GET_FREE);
        if (number < 0) return fail_errno("LOOP_CTL_GET_FREE", "");
        std::string path = fmt::format("/dev/loop{}", number);
        device.reset(::open(path.c_str(), O_RDWR | O_CLOEXEC));
        loop_config config{};
        config.fd = static_cast<__u32>(file.get());
        config.info.lo_flags = LO_FLAGS_AUTOCLEAR;  // freed with the mount, even when we are killed
        if (device && ::ioctl(device.get(), LOOP_CONFIGURE, &config) == 0) return path;
        if (errno != EBUSY) return fail_errno("LOOP_CONFIGURE", path);
    }
    return fail(Status::internal, "No free loop device");
}

Result<std::string> make_ground(const std::string& file_system) {
    const std::string path = fmt::format("{}/{}", scratch(), file_system), image = path + ".img";
    LX_TRY(make_directory(path, 0755));
    {
        const UniqueFd file(::open(image.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600));
        if (!file || ::ftruncate(file.get(), kImageBytes) != 0) return fail_errno("Creating", image);
    }
    const std::string type = file_system.substr(0, file_system.find('_'));
    Command mkfs{
        .argv = {"mkfs." + type, "-q", image}, .extra_env = {}, .input = {}, .cwd = {}, .timeout = {}};
    if (file_system == "ext4_prjquota") mkfs.argv.insert(mkfs.argv.end() - 1, {"-O", "quota,project"});
    LX_TRY(run_checked(mkfs));
    UniqueFd device;
    LX_TRY_AS(const std::string loop, attach_loop(image, device));
    const char* const options = type == file_system ? nullptr : "prjquota";
    if (::mount(loop.c_str(), path.c_str(), type.c_str(), 0, options) != 0) return fail_errno("mount", path);
    return path;
}

}  // namespace

Result<> enter_mount_namespace() {
    if (::unshare(CLONE_NEWNS) != 0) return fail_errno("unshare", "(mount namespace)");
    if (::mount(nullptr, "/", nullptr, MS_REC | MS_PRIVATE, nullptr) != 0)
        return fail_errno("mount", "/ as private");
    if (::mount(nullptr, "/", nullptr, MS_REC | MS_SHARED, nullptr) != 0)
        return fail_errno("mount", "/ as shared");
    return {};
}

Result<std::string> ground(std::string_view file_system) {
    static std::map<std::string, Result<std::string>, std::less<>> grounds;
    const auto found = grounds.find(file_system);
    if (found != grounds.end()) return found->second;
    return grounds.emplace(file_system, make_ground(std::string(file_system))).first->second;
}

void remove_grounds() {
    const auto unmount = [](std::string_view name) {
        ::umount2(fmt::format("{}/{}", scratch(), name).c_str(), UMOUNT_NOFOLLOW);
    };
    for (const auto name : kFileSystems) unmount(name);
    for (const auto name : kWithQuotas) unmount(name);
    std::ignore = remove_tree(scratch());
}

}  // namespace lxmgr::conformance
