#include "tests/conformance/abilities.h"

#include <fcntl.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "lxd-daemon/sys/credentials.h"
#include "lxd-daemon/sys/mount.h"
#include "tests/conformance/sample.h"

namespace lxmgr::conformance {
namespace {

constexpr std::uint64_t kMiB = 1U << 20U;

class AbilitiesTest : public PoolTest {
protected:
    /// 24 MiB that no file system can make smaller.
    static Result<> fill_much(int root) {
        const UniqueFd file(::openat(root, "much", O_WRONLY | O_CREAT | O_CLOEXEC, 0644));
        std::string block(kMiB, '\0');
        for (int i = 0; i < 24; ++i) {
            for (std::size_t at = 0; at < block.size(); at += 256) {
                if (::getrandom(block.data() + at, 256, 0) != 256) return fail_errno("getrandom", "");
            }
            if (::write(file.get(), block.data(), block.size()) != static_cast<ssize_t>(block.size()))
                return fail_errno("write", "much");
        }
        return {};
    }
    std::uint64_t used() {
        ::sync();
        return driver_->space().value().used_bytes;
    }
    /// Whether the pool has hardly grown by it.
    bool shares(const std::function<Result<>()>& work) {
        const auto before = used();
        EXPECT_OK(work());
        return used() < before + 8 * kMiB;
    }
    void note(const std::string& ability, bool has) { note_ability(GetParam(), ability, has); }
};
INSTANTIATE_TEST_SUITE_P(Every, AbilitiesTest, testing::ValuesIn(cases()), case_name);

TEST_P(AbilitiesTest, SharedData) {
    EXPECT_OK(driver_->create_volume(image("f"), fill_much));
    note("A new instance shares its image's data",
         shares([&] { return driver_->create_from_image(container("a"), "f"); }));
    EXPECT_OK(driver_->create_volume(container("b"), fill_much));
    note("Copies and snapshots share their source's data",
         shares([&] { return driver_->create_copy(snapshot("s"), container("b"), {}); }));
}

TEST_P(AbilitiesTest, Limits) {
    EXPECT_OK(driver_->create_volume({storage::VolumeType::container, "a", 32 * kMiB}, {}));
    const UniqueFd root = mount(container("a"), kBase);
    {
        const auto ids = sys::ScopedFsIds::become(kBase, kBase);
        const UniqueFd file(::openat(root.get(), "big", O_WRONLY | O_CREAT | O_CLOEXEC, 0600));
        const std::string block(kMiB, 'x');
        int written = 0;
        while (written < 64 && ::write(file.get(), block.data(), block.size()) > 0 &&
               ::fsync(file.get()) == 0)
            ++written;
        note("Hard limit of what a volume holds", written < 33);
    }
    struct statvfs info{};
    ASSERT_EQ(::fstatvfs(root.get(), &info), 0);
    note("`df` inside shows the limit", info.f_blocks * info.f_frsize <= 32 * kMiB);
    ASSERT_EQ(::unlinkat(root.get(), "big", 0), 0);
    ::sync();
    const bool shrunk =
        driver_->resize_volume({storage::VolumeType::container, "a", 16 * kMiB}, true).has_value();
    note("A limit can be lowered while the volume is in use", shrunk);
}

TEST_P(AbilitiesTest, OverlayInside) {
    add_image("f", "x");
    add_container("a", "f");
    const UniqueFd root = mount(container("a"), 0);
    for (const char* name : {"lower", "upper", "work"}) ASSERT_EQ(::mkdirat(root.get(), name, 0755), 0);
    const auto attached = sys::attach_mount(root.get(), path_ + "/tmp");
    ASSERT_TRUE(attached) << attached.error().message;
    const auto overlay = [&]() -> Result<> {
        LX_TRY_AS(auto context, sys::FsContext::open("overlay"));
        for (const char* name : {"lower", "upper", "work"})
            LX_TRY(context.set(std::string(name) + "dir", path_ + "/tmp/" + name));
        LX_TRY(context.create());
        LX_TRY(context.mount());
        return {};
    };
    note("Container engines find a place for an overlay in an instance's root", overlay().has_value());
}

TEST_P(AbilitiesTest, IdsStayOnDisk) {
    add_image("f", "x");
    add_container("a", "f");
    const sys::IdMap map = map_to(kBase);
    const bool kept = driver_->mount(container("a"), {.idmap = &map, .keep_ids = true}).has_value();
    note("Ids are shifted by the mount and not on disk", kept);
}

}  // namespace
}  // namespace lxmgr::conformance
