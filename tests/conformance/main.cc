#include <gtest/gtest.h>
#include <unistd.h>

#include <cstdio>
#include <string_view>

#include "tests/conformance/abilities.h"
#include "tests/conformance/crash.h"
#include "tests/conformance/ground.h"
#include "tests/conformance/pool_fixture.h"

/// Runs the tests, or one operation of the crash sweep when started by itself for it.
int main(int argc, char** argv) {
    if (argc > 1 && std::string_view(argv[1]) == "--operation")
        return lxmgr::conformance::run_operation(argc - 2, argv + 2);
    testing::InitGoogleTest(&argc, argv);
    if (::geteuid() == 0) {
        if (const auto entered = lxmgr::conformance::enter_mount_namespace(); !entered) {
            std::fprintf(stderr, "%s\n", entered.error().message.c_str());
            return 1;
        }
    }
    int failed = RUN_ALL_TESTS();
    if (!lxmgr::conformance::abilities_are_current()) failed = 1;
    if (!lxmgr::conformance::discard_kept_pools()) failed = 1;
    lxmgr::conformance::remove_grounds();
    return failed;
}
