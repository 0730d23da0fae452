#pragma once
#include <gtest/gtest.h>

#include <memory>
#include <optional>
#include <ostream>
#include <set>
#include <string>
#include <vector>

#include "storage/driver.h"

namespace lxmgr::conformance {

/// What the driver is made to believe about the kernel.
enum class Kernel { as_it_is, no_detached_layers, no_idmap };

struct Case {
    std::string driver;
    std::string file_system;
    Kernel kernel = Kernel::as_it_is;
    std::string volumes = {};  ///< lvm: their file system, where it is not the default
};
/// Tests of lvm are left out elsewhere: tests/vm runs them.
bool has_device_mapper();
/// Every driver on every file system, and with less able kernels on the first.
std::vector<Case> cases();
/// Those among them whose pools are made and deleted a thousand times.
std::vector<Case> crash_cases();
void PrintTo(const Case& what, std::ostream* out);
std::string case_name(const testing::TestParamInfo<Case>& info);

storage::PoolConfig pool_config(const std::string& path);
/// Pools of lvm go from test to test, empty: a volume group is seconds of an emulated machine. Ends them;
/// false when that failed.
bool discard_kept_pools();
/// Removes whatever the pool's driver made beside its directory.
void discard_pool(const Case& what, const std::string& path);
/// EXPECTs that it opens.
std::unique_ptr<storage::Driver> open_driver(const Case& what, const std::string& path,
                                             sys::IdmapCache& idmaps);

/// The map 0..65535 -> base.
sys::IdMap map_to(std::uint32_t base);
inline constexpr std::uint32_t kBase = 1'000'000;

inline storage::Volume container(const std::string& name) { return {storage::VolumeType::container, name}; }
inline storage::Volume snapshot(const std::string& id) { return {storage::VolumeType::snapshot, id}; }
inline storage::Volume image(const std::string& name) { return {storage::VolumeType::image, name}; }

/// An open, empty pool; compares descriptors and mounts at the end with the start.
class PoolTest : public testing::TestWithParam<Case> {
protected:
    void SetUp() override;
    void TearDown() override;

    /// Opens the pool anew, as after a restart of the daemon.
    void reopen();
    void add_image(const std::string& fingerprint, const std::string& hostname);
    void add_container(const std::string& name, const std::string& fingerprint);
    /// A mount with map_to(base), or as on disk with base 0. EXPECTs success.
    UniqueFd mount(const storage::Volume& volume, std::uint32_t base, bool read_only = false);
    /// Whether the pool is for the tests behind this one, too.
    static bool may_be_kept();
    /// Entries of a directory of the pool, once removal in the background has ended.
    std::vector<std::string> entries(const std::string& directory);

    std::string path_;
    std::optional<sys::IdmapCache> idmaps_;
    std::unique_ptr<storage::Driver> driver_;

private:
    void empty_pool();
    std::set<std::string> descriptors_;
    std::string mounts_;
};

/// EXPECTs success of a Result<> and shows its message.
#define EXPECT_OK(expr)                                               \
    do {                                                              \
        const auto& r_ = (expr);                                      \
        EXPECT_TRUE(r_) << (r_ ? std::string() : r_.error().message); \
    } while (0)
#define EXPECT_STATUS(expr, wanted)                                                                   \
    do {                                                                                              \
        const auto& r_ = (expr);                                                                      \
        EXPECT_TRUE(!r_ && r_.error().status == (wanted)) << (r_ ? "succeeded" : r_.error().message); \
    } while (0)

}  // namespace lxmgr::conformance
