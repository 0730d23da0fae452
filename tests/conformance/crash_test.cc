#include "tests/conformance/crash.h"

#include <fmt/format.h>
#include <signal.h>

#include <cstdio>
#include <map>

#include "lxd-daemon/base/failpoint.h"
#include "lxd-daemon/base/files.h"
#include "lxd-daemon/base/spawn.h"
#include "lxd-daemon/base/strings.h"
#include "tests/conformance/pool_fixture.h"
#include "tests/conformance/sample.h"

namespace lxmgr::conformance {
namespace {

Result<> fill(int root) {
    failpoint("test.fill.before");
    LX_TRY(fill_sample(root, "x"));
    failpoint("test.fill.after");
    return {};
}

/// One operation that is killed at every point it passes. Image "f" and container "a" are its subjects.
struct Operation {
    Result<> (*run)(storage::Driver& driver);
    bool image_before, container_before;
    bool image_deleted_before = false;  ///< then the container is its last user
    bool image_after = true, container_after = true;
};

Result<> mount_a(storage::Driver& driver) {
    const sys::IdMap map = map_to(kBase);
    LX_TRY(driver.mount(container("a"), {&map, false}));
    return {};
}

Result<> snapshot_and_delete(storage::Driver& driver) {
    if (!driver.has_volume(snapshot("s"))) LX_TRY(driver.create_copy(snapshot("s"), container("a"), {}));
    LX_TRY(driver.delete_volume(container("a")));
    return driver.delete_volume(snapshot("s"));
}

Result<> restore(storage::Driver& driver) {
    LX_TRY(driver.delete_volume(snapshot("t")));
    LX_TRY(driver.create_copy(snapshot("t"), container("a"), {}));
    LX_TRY(driver.swap_volumes(container("a"), snapshot("t")));
    return driver.delete_volume(snapshot("t"));
}

const std::map<std::string, Operation>& operations() {
    using storage::Driver;
    static const std::map<std::string, Operation> all = {
        {"open", {[](Driver&) -> Result<> { return {}; }, true, true}},
        {"create-image",
         {[](Driver& d) { return d.create_volume(image("f"), fill); }, false, false, false, true, false}},
        {"create-volume", {[](Driver& d) { return d.create_volume(container("a"), fill); }, true, false}},
        {"create-from-image",
         {[](Driver& d) { return d.create_from_image(container("a"), "f"); }, true, false}},
        {"delete-container",
         {[](Driver& d) { return d.delete_volume(container("a")); }, true, true, false, true, false}},
        {"delete-last-user",
         {[](Driver& d) { return d.delete_volume(container("a")); }, true, true, true, false, false}},
        {"delete-image",
         {[](Driver& d) { return d.delete_volume(image("f")); }, true, false, false, false, false}},
        {"delete-used-image",
         {[](Driver& d) { return d.delete_volume(image("f")); }, true, true, false, false, true}},
        {"rename", {[](Driver& d) { return d.rename_volume(container("a"), "b"); }, true, true}},
        {"mount", {mount_a, true, true}},
        {"snapshot",
         {[](Driver& d) { return d.create_copy(snapshot("s"), container("a"), {}); }, true, true}},
        {"snapshot-and-delete", {snapshot_and_delete, true, true, false, true, false}},
        {"restore", {restore, true, true}},
    };
    return all;
}

}  // namespace

int run_operation(int argc, char** argv) {
    if (argc != 4) return 2;
    const Case what{argv[1], "", static_cast<Kernel>(parse_int(argv[2]).value_or(0))};
    sys::IdmapCache idmaps;
    const auto driver = open_driver(what, argv[3], idmaps);
    const auto done = operations().at(argv[0]).run(*driver);
    if (!done) std::fprintf(stderr, "%s\n", done.error().message.c_str());
    return done ? 0 : 1;
}

namespace {

class CrashTest : public PoolTest {
protected:
    void SetUp() override {
#ifndef LXMGR_FAILPOINTS
        GTEST_SKIP() << "built without LXMGR_FAILPOINTS";
#endif
        PoolTest::SetUp();
        if (!IsSkipped() && !may_be_kept()) EXPECT_OK(driver_->delete_pool());
    }

    void prepare(const Operation& operation) {
        driver_ = open_driver(GetParam(), path_, *idmaps_);
        if (operation.image_before) add_image("f", "x");
        if (operation.container_before) add_container("a", "f");
        if (operation.image_deleted_before) EXPECT_OK(driver_->delete_volume(image("f")));
        driver_.reset();
    }

    CommandResult run_killed(const std::string& operation, const std::string& environment) {
        Command command;
        command.argv = {"/proc/self/exe",
                        "--operation",
                        operation,
                        GetParam().driver,
                        std::to_string(static_cast<int>(GetParam().kernel)),
                        path_};
        command.extra_env = {environment};
        return run(command).value();
    }

    /// Of lvm those whose points are its own: each runs many of its tools, which takes long in an emulated
    /// machine.
    static bool is_tried(const std::string& name) {
        if (GetParam().driver != "lvm") return true;
        return name == "create-volume" || name == "create-from-image" || name == "delete-container" ||
               name == "restore";
    }

    /// Points in the order they are passed, "name=k" for the k-th time.
    std::vector<std::string> points_of(const std::string& name, const Operation& operation) {
        prepare(operation);
        const std::string log = path_ + ".points";
        const auto ended = run_killed(name, "LXMGR_FAILPOINT_LOG=" + log);
        EXPECT_EQ(ended.exit_code, 0) << ended.err;
        std::map<std::string, int> times;
        std::vector<std::string> points;
        const std::string text = read_file(log).value_or("");
        for (const auto& point : split(trim(text), '\n')) {
            if (!point.empty()) points.push_back(fmt::format("{}={}", point, ++times[point]));
        }
        EXPECT_OK(remove_tree(log));
        clear();
        return points;
    }

    /// What there is, is whole; a renamed volume is in one place.
    void expect_whole(const Operation& operation) {
        const bool a = driver_->has_volume(container("a")), b = driver_->has_volume(container("b"));
        EXPECT_FALSE(a && b);
        if (operation.container_before && operation.container_after) {
            EXPECT_TRUE(a || b);
        }
        if (operation.image_before && operation.image_after) {
            EXPECT_TRUE(driver_->has_volume(image("f")));
        }
        for (const auto type :
             {storage::VolumeType::container, storage::VolumeType::image, storage::VolumeType::snapshot}) {
            const auto names = driver_->list_volumes(type).value();
            for (const auto& name : names) {
                expect_sample(mount({type, name}, kBase).get(), kBase, "x");
            }
        }
        EXPECT_TRUE(entries("tmp").empty());
    }

    void clear() {
        driver_ = open_driver(GetParam(), path_, *idmaps_);
        EXPECT_OK(driver_->recover());
        for (const char* name : {"a", "b"}) EXPECT_OK(driver_->delete_volume(container(name)));
        for (const char* id : {"s", "t"}) EXPECT_OK(driver_->delete_volume(snapshot(id)));
        EXPECT_OK(driver_->delete_volume(image("f")));
        for (const char* directory : {"containers", "images", "snapshots", "layers", "tmp"}) {
            EXPECT_TRUE(entries(directory).empty()) << directory;
        }
        if (!may_be_kept()) EXPECT_OK(driver_->delete_pool());
        driver_.reset();
        EXPECT_EQ(path_exists(path_), may_be_kept());
    }
};
INSTANTIATE_TEST_SUITE_P(Every, CrashTest, testing::ValuesIn(crash_cases()), case_name);

TEST_P(CrashTest, KilledAnywhereEveryVolumeIsAbsentOrWhole) {
    std::size_t total = 0;
    for (const auto& [name, operation] : operations()) {
        if (!is_tried(name)) continue;
        const auto points = points_of(name, operation);
        total += points.size();
        for (const auto& point : points) {
            SCOPED_TRACE(name + " killed at " + point);
            prepare(operation);
            const auto ended = run_killed(name, "LXMGR_FAILPOINT=" + point);
            EXPECT_EQ(ended.signal, SIGKILL) << ended.err;
            driver_ = open_driver(GetParam(), path_, *idmaps_);
            EXPECT_OK(driver_->recover());
            expect_whole(operation);
            const bool done =
                driver_->has_volume(container("a")) == (operation.container_after && name != "rename") &&
                driver_->has_volume(image("f")) == operation.image_after;
            const bool has_snapshot = name == "snapshot" && driver_->has_volume(snapshot("s"));
            if (!done && !has_snapshot)
                EXPECT_OK(operation.run(*driver_));  // the same request again meets no ghost of itself
            EXPECT_EQ(driver_->has_volume(image("f")), operation.image_after);
            expect_whole(operation);
            driver_.reset();
            clear();
        }
    }
    RecordProperty("points", static_cast<int>(total));
    EXPECT_GT(total, 20U);
}

}  // namespace
}  // namespace lxmgr::conformance
