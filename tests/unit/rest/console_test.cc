#include "tests/unit/rest/exec_fixture.h"

namespace lxmgr::rest {
namespace {

TEST_F(ExecTest, ConsoleIsJoinedResizedAndLeft) {
    const auto started = post({{"width", 80}, {"height", 24}, {"type", "console"}}, "console");
    auto control = attach(started, "control");
    auto terminal = attach(started, "0");
    terminal.send_frame(2, "typed");
    while (!runtime_.console_guest) std::this_thread::yield();
    char buffer[64];
    EXPECT_EQ(::read(runtime_.console_guest.get(), buffer, sizeof buffer), 5);
    EXPECT_EQ(::write(runtime_.console_guest.get(), "login:", 6), 6);
    EXPECT_EQ(read_until(terminal, "login:"), "login:");
    control.send_frame(1, R"({"command":"window-resize","args":{"width":"100","height":"30"}})");
    control.send_frame(8, std::string("\x03\xe8", 2));
    EXPECT_EQ(wait(started)["status_code"], 200);
    EXPECT_EQ(runtime_.console_size, "100x30");
    EXPECT_EQ(::read(runtime_.console_guest.get(), buffer, sizeof buffer), 0);
}

TEST_F(ExecTest, ConsoleEndsWithTheInstance) {
    const auto started = post(json::object(), "console");
    auto control = attach(started, "control");
    auto terminal = attach(started, "0");
    while (!runtime_.console_guest) std::this_thread::yield();
    runtime_.console_guest.reset();
    EXPECT_EQ(read_all(terminal), "");
    EXPECT_EQ(wait(started)["status_code"], 200);
}

TEST_F(ExecTest, ConsoleOfWhatDoesNotRunIsRefused) {
    auto c = client();
    EXPECT_EQ(c.request("POST", "/1.0/instances/off/console", "{}").status, 400);
    EXPECT_EQ(c.request("POST", "/1.0/instances/x/console", R"({"type":"vga"})").status, 400);
    EXPECT_EQ(c.request("GET", "/1.0/instances/nobody/console").status, 404);
    EXPECT_EQ(c.request("GET", "/1.0/instances/x/console").status, 200);
}

}  // namespace
}  // namespace lxmgr::rest
