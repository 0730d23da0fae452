#include "tests/conformance/pool_fixture.h"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <filesystem>

#include "lxd-daemon/base/files.h"
#include "lxd-daemon/base/own.h"
#include "lxd-daemon/base/strings.h"
#include "storage/btrfs/btrfs.h"
#include "storage/dir/dir.h"
#include "storage/lvm/lvm.h"
#include "storage/overlay/overlay.h"
#include "tests/conformance/ground.h"
#include "tests/conformance/sample.h"

namespace lxmgr::conformance {
namespace {

std::set<std::string> open_descriptors() {
    std::set<std::string> all;
    std::error_code ignored;
    for (const auto& entry : std::filesystem::directory_iterator("/proc/self/fd")) {
        all.insert(entry.path().filename().string() + " " +
                   std::filesystem::read_symlink(entry, ignored).string());
    }
    return all;
}

/// Without the descriptor that the listing itself used.
void expect_no_new(const std::set<std::string>& before, const std::set<std::string>& after) {
    for (const auto& fd : after) {
        const bool listing = fd.find("/proc/") != std::string::npos || fd.ends_with(" ");
        EXPECT_TRUE(listing || before.contains(fd)) << "descriptor left open: " << fd;
    }
}

/// Ours alone: copies of other processes' mounts come and go in this namespace too. Without that of `pool`.
std::string our_mounts(const std::string& pool) {
    const std::string all = read_file("/proc/self/mountinfo").value();
    std::string ours;
    for (const auto& line : split(all, '\n')) {
        if (!pool.empty() && line.contains(" " + pool + " ")) continue;
        if (line.find("lxmgr-") != std::string::npos || line.find("overlay") != std::string::npos)
            ours += line + "\n";
    }
    return ours;
}

storage::Abilities* abilities_of(storage::Driver& driver) {
    if (auto* const dir = dynamic_cast<storage::DirDriver*>(&driver)) return &dir->abilities();
    if (auto* const overlay = dynamic_cast<storage::OverlayDriver*>(&driver)) return &overlay->abilities();
    if (auto* const lvm = dynamic_cast<storage::LvmDriver*>(&driver)) return &lvm->abilities();
    if (auto* const btrfs = dynamic_cast<storage::BtrfsDriver*>(&driver)) return &btrfs->abilities();
    return nullptr;
}

/// Where a driver that needs one has its file, on the same file system as the pool's directory.
std::string file_of(const std::string& path) {
    const auto state = std::filesystem::path(path).parent_path().parent_path();
    return (state / "disks" / (pool_config(path).name + ".img")).string();
}

}  // namespace

// The node alone may be there without the kernel's part (ENODEV).
bool has_device_mapper() { return UniqueFd(::open("/dev/mapper/control", O_RDWR | O_CLOEXEC)).valid(); }

std::vector<Case> cases() {
    std::vector<Case> all;
    for (const auto& entry : storage::drivers()) {
        if (entry.name == "lvm") {
            if (has_device_mapper()) all.push_back({"lvm", "ext4"});
            continue;
        }
        for (const auto file_system : kFileSystems)
            all.push_back({std::string(entry.name), std::string(file_system)});
        all.push_back({std::string(entry.name), "ext4", Kernel::no_idmap});
        if (entry.name == "overlay")
            all.push_back({std::string(entry.name), "ext4", Kernel::no_detached_layers});
    }
    return all;
}

std::vector<Case> crash_cases() {
    auto all = cases();
    std::erase_if(all, [](const Case& one) {
        return one.driver == "btrfs" && (one.file_system != "ext4" || one.kernel != Kernel::as_it_is);
    });
    return all;
}

void PrintTo(const Case& what, std::ostream* out) { *out << case_name({what, 0}); }

std::string case_name(const testing::TestParamInfo<Case>& info) {
    constexpr std::array kSuffix = {"", "_no_detached_layers", "_no_idmap"};
    if (!info.param.volumes.empty()) return fmt::format("{}_of_{}", info.param.driver, info.param.volumes);
    return fmt::format("{}_on_{}{}", info.param.driver, info.param.file_system,
                       kSuffix.at(static_cast<std::size_t>(info.param.kernel)));
}

// Volume groups are the machine's: those of two processes side by side must have names of their own.
storage::PoolConfig pool_config(const std::string& path) {
    return {"trial" + path.substr(path.find_last_of("/-") + 1), path, {}};
}

sys::IdMap map_to(std::uint32_t base) { return {.uids = {{0, base, 65536}}, .gids = {{0, base, 65536}}}; }

std::unique_ptr<storage::Driver> open_driver(const Case& what, const std::string& path,
                                             sys::IdmapCache& idmaps) {
    const auto* const entry = storage::find_driver(what.driver);
    auto config = pool_config(path);
    if (!what.volumes.empty()) config.config["volume.block.filesystem"] = what.volumes;
    if (entry->prepare != nullptr) {
        // That of lvm is filled by a test.
        config.size_bytes = (what.driver == "lvm" ? std::uint64_t{1200} : std::uint64_t{256}) << 20U;
        config.config["size"] = fmt::format("{}MiB", config.size_bytes >> 20U);
        if (!path_exists(file_of(path))) EXPECT_OK(entry->prepare(config));
    }
    auto driver = entry->open(config, idmaps);
    EXPECT_OK(driver);
    if (auto* const abilities = abilities_of(**driver); abilities != nullptr) {
        if (what.kernel == Kernel::no_detached_layers) abilities->detached_layers = false;
        if (what.kernel == Kernel::no_idmap) abilities->idmapped_mounts = false;
    }
    EXPECT_OK((*driver)->open_pool());
    return *std::move(driver);
}

void discard_pool(const Case& what, const std::string& path) {
    const auto* const entry = storage::find_driver(what.driver);
    if (entry->discard != nullptr) EXPECT_OK(entry->discard(pool_config(path)));
}

namespace {

/// Of lvm: the path that the next test takes over; empty: there is none.
std::string& kept_pool() {
    static std::string path;
    return path;
}

}  // namespace

bool discard_kept_pools() {
    const std::string path = std::exchange(kept_pool(), "");
    if (path.empty()) return true;
    auto done = storage::find_driver("lvm")->discard(pool_config(path));
    if (done) done = remove_tree(path);
    if (!done) fmt::print(stderr, "{}: {}\n", path, done.error().message);
    return done.has_value();
}

void PoolTest::SetUp() {
    if (::geteuid() != 0) GTEST_SKIP() << "needs root";
    const auto base = ground(GetParam().file_system);
    if (!base) GTEST_SKIP() << "no " << GetParam().file_system << " here: " << base.error().message;
    EXPECT_OK(make_directories(*base + "/storage-pools", 0755));
    if (GetParam().driver == "lvm") path_ = std::exchange(kept_pool(), "");
    if (path_.empty()) path_ = fmt::format("{}/storage-pools/lxmgr-{}", *base, random_hex(4));
    descriptors_ = open_descriptors();
    mounts_ = our_mounts(may_be_kept() ? path_ : "");
    idmaps_.emplace();
    driver_ = open_driver(GetParam(), path_, *idmaps_);
}

void PoolTest::TearDown() {
    if (descriptors_.empty()) return;
    const bool kept = may_be_kept() && !HasFailure() && path_exists(file_of(path_));
    if (kept) empty_pool();
    driver_.reset();
    idmaps_.reset();
    if (!kept) discard_pool(GetParam(), path_);
    expect_no_new(descriptors_, open_descriptors());
    EXPECT_EQ(our_mounts(may_be_kept() ? path_ : ""), mounts_);
    if (kept) {
        kept_pool() = path_;
    } else {
        EXPECT_OK(remove_tree(path_));
    }
}

bool PoolTest::may_be_kept() { return GetParam().driver == "lvm"; }

void PoolTest::empty_pool() {
    using storage::VolumeType;
    if (!driver_) driver_ = open_driver(GetParam(), path_, *idmaps_);
    for (const auto type :
         {VolumeType::container, VolumeType::custom, VolumeType::snapshot, VolumeType::image}) {
        const auto names = driver_->list_volumes(type).value();
        for (const auto& name : names) EXPECT_OK(driver_->delete_volume({type, name}));
    }
    EXPECT_OK(driver_->recover());
    EXPECT_TRUE(entries("tmp").empty());
}

void PoolTest::reopen() {
    driver_.reset();
    driver_ = open_driver(GetParam(), path_, *idmaps_);
}

void PoolTest::add_image(const std::string& fingerprint, const std::string& hostname) {
    EXPECT_OK(
        driver_->create_volume(image(fingerprint), [&](int root) { return fill_sample(root, hostname); }));
}

void PoolTest::add_container(const std::string& name, const std::string& fingerprint) {
    EXPECT_OK(driver_->create_from_image(container(name), fingerprint));
}

UniqueFd PoolTest::mount(const storage::Volume& volume, std::uint32_t base, bool read_only) {
    const sys::IdMap map = map_to(base);
    auto mounted = driver_->mount(volume, {base == 0 ? nullptr : &map, read_only});
    EXPECT_TRUE(mounted) << (mounted ? std::string() : mounted.error().message);
    return mounted ? std::move(mounted->root) : UniqueFd();
}

std::vector<std::string> PoolTest::entries(const std::string& directory) {
    driver_->drain();
    std::vector<std::string> names;
    for (const auto& entry : std::filesystem::directory_iterator(path_ + "/" + directory)) {
        names.push_back(entry.path().filename().string());
    }
    return names;
}

}  // namespace lxmgr::conformance
