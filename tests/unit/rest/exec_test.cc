#include "tests/unit/rest/exec_fixture.h"

namespace lxmgr::rest {
namespace {

TEST_F(ExecTest, StreamsAreApartAndTheExitCodeIsInTheMetadata) {
    const auto started = exec({"sh", "-c", "cat; echo err >&2; exit 7"});
    EXPECT_EQ(started.fds.size(), 4U);
    for (const auto& [name, secret] : started.fds.items()) EXPECT_EQ(secret.get<std::string>().size(), 64U);
    Four s{attach(started, "control"), attach(started, "0"), attach(started, "1"), attach(started, "2")};
    s.in.send_frame(2, "some ");
    s.in.send_frame(2, "input");
    s.in.send_frame(1, "");
    EXPECT_EQ(read_all(s.out), "some input");
    EXPECT_EQ(read_all(s.err), "err\n");
    const auto final = wait(started);
    EXPECT_EQ(final["status_code"], 200);
    EXPECT_EQ(final["class"], "websocket");
    EXPECT_EQ(final["metadata"]["return"], 7);
    EXPECT_EQ(final["metadata"]["environment"]["HOME"], "/root");
    EXPECT_EQ(final["metadata"]["environment"]["FROM_CONFIG"], "yes");
    EXPECT_EQ(s.control.receive_message().opcode, 8);
}

TEST_F(ExecTest, LargeStreamsAreWhole) {
    const auto started = exec({"cat"});
    Four s{attach(started, "control"), attach(started, "0"), attach(started, "1"), attach(started, "2")};
    std::string data;
    for (int i = 0; i < 1000000; ++i) data += std::to_string(i);
    std::thread writer([&] {
        s.in.send_frame(2, data);
        s.in.send_frame(1, "");
    });
    const auto echoed = read_all(s.out);
    writer.join();
    EXPECT_TRUE(echoed == data);
    EXPECT_EQ(wait(started)["metadata"]["return"], 0);
}

TEST_F(ExecTest, ASecretAdmitsOnce) {
    const auto started = exec({"true"});
    const auto url = started.url + "/websocket?secret=";
    EXPECT_FALSE(client().upgrade_to_websocket(url + std::string(64, '0')));
    EXPECT_FALSE(client().upgrade_to_websocket(url));
    EXPECT_EQ(client().request("GET", url + started.fds["0"].get<std::string>()).status, 400);
    auto in = attach(started, "0");
    EXPECT_FALSE(client().upgrade_to_websocket(url + started.fds["0"].get<std::string>()));
    const Four rest{attach(started, "control"), std::move(in), attach(started, "1"), attach(started, "2")};
    EXPECT_EQ(wait(started)["metadata"]["return"], 0);
}

TEST_F(ExecTest, SignalsReachTheCommand) {
    const auto started =
        exec({"sh", "-c", "trap 'echo caught; exit 5' TERM; echo up; while :; do sleep 0.05; done"});
    Four s{attach(started, "control"), attach(started, "0"), attach(started, "1"), attach(started, "2")};
    EXPECT_EQ(read_until(s.out, "up\n"), "up\n");
    s.control.send_frame(1, "nonsense");
    s.control.send_frame(1, R"({"command":"signal","args":null,"signal":15})");
    EXPECT_EQ(read_all(s.out), "caught\n");
    EXPECT_EQ(wait(started)["metadata"]["return"], 5);
}

TEST_F(ExecTest, LossOfTheControlSocketKillsTheCommand) {
    const auto started = exec({"sleep", "1000"});
    {
        const Four s{attach(started, "control"), attach(started, "0"), attach(started, "1"),
                     attach(started, "2")};
    }
    EXPECT_EQ(wait(started)["metadata"]["return"], 137);
}

TEST_F(ExecTest, AProcessLeftInTheBackgroundDoesNotHoldTheOperation) {
    const auto started = exec({"sh", "-c", "sleep 1000 & echo $!"});
    Four s{attach(started, "control"), attach(started, "0"), attach(started, "1"), attach(started, "2")};
    const std::string pid = read_all(s.out);
    EXPECT_EQ(wait(started)["metadata"]["return"], 0);
    ::kill(std::stoi(pid), SIGKILL);
}

TEST_F(ExecTest, AClientThatClosesItsOutputIsAClosedPipe) {
    const auto started = exec({"sh", "-c", "trap '' INT; yes; echo gone >&2"});
    auto control = attach(started, "control");
    auto in = attach(started, "0");
    auto err = attach(started, "2");
    {
        auto out = attach(started, "1");
        EXPECT_TRUE(read_until(out, "y\n").starts_with("y"));
    }
    EXPECT_TRUE(read_all(err).contains("gone"));
    EXPECT_EQ(wait(started)["metadata"]["return"], 0);
}

TEST_F(ExecTest, TerminalHasItsSizeAndChangesIt) {
    const auto started =
        exec({"sh", "-c", "stty size; read x; stty size; exit 3"},
             {{"interactive", true}, {"width", 91}, {"height", 33}, {"environment", {{"TERM", "xterm"}}}});
    EXPECT_EQ(started.fds.size(), 2U);
    auto control = attach(started, "control");
    auto terminal = attach(started, "0");
    EXPECT_EQ(read_until(terminal, "\n"), "33 91\r\n");
    control.send_frame(1, R"({"command":"window-resize","args":{"width":"120","height":"44"}})");
    // The answer to a close or ping comes after what was sent before it: the size is set when the pong is
    // here.
    control.send_frame(9, "mark");
    while (control.receive_frame().opcode != 10) continue;
    terminal.send_frame(2, "\n");
    EXPECT_TRUE(read_all(terminal).contains("44 120"));
    EXPECT_EQ(wait(started)["metadata"]["return"], 3);
}

TEST_F(ExecTest, WithoutWebsocketsTheOperationEndsWithTheCommand) {
    const json body{{"command", {"sh", "-c", "read x; exit 4"}}, {"environment", json::object()}};
    const auto final = wait(post(body));
    EXPECT_EQ(final["class"], "task");
    EXPECT_EQ(final["metadata"]["return"], 4);
}

TEST_F(ExecTest, WithoutWebsocketsThereIsNoTerminal) {
    const auto final = wait(post({{"command", {"sh", "-c", "test -t 0 || exit 5"}}, {"interactive", true}}));
    EXPECT_EQ(final["metadata"]["return"], 5);
    EXPECT_EQ(final["metadata"]["interactive"], false);
}

TEST_F(ExecTest, RecordedOutputIsServedAndDeleted) {
    const json body{{"command", {"sh", "-c", "echo out; echo err >&2"}}, {"record-output", true}};
    const auto final = wait(post(body));
    const auto output = final["metadata"]["output"];
    auto c = client();
    EXPECT_EQ(c.request("GET", output["1"]).body, "out\n");
    EXPECT_EQ(c.request("GET", output["2"]).body, "err\n");
    const std::string list = "/1.0/instances/x/logs/exec-output";
    EXPECT_EQ(c.request("GET", list).json()["metadata"], (json{output["2"], output["1"]}));
    EXPECT_EQ(c.request("DELETE", output["1"]).status, 200);
    EXPECT_EQ(c.request("GET", output["1"]).status, 404);
    EXPECT_EQ(c.request("GET", list + "/..%2F..%2Fetc%2Fpasswd").status, 404);
    EXPECT_EQ(c.request("GET", "/1.0/instances/none/logs/exec-output").json()["metadata"], json::array());
}

TEST_F(ExecTest, BadRequestsStartNothing) {
    auto c = client();
    const auto status = [&](const json& body, const std::string& instance = "x") {
        return c.request("POST", "/1.0/instances/" + instance + "/exec", body.dump()).status;
    };
    EXPECT_EQ(status({{"command", json::array()}}), 400);
    EXPECT_EQ(status({{"command", "sh"}}), 400);
    EXPECT_EQ(status({{"command", {"sh"}}, {"environment", {{"A=B", "c"}}}}), 400);
    EXPECT_EQ(status({{"command", {"sh"}}, {"wait-for-websocket", true}, {"record-output", true}}), 400);
    EXPECT_EQ(status({{"command", {"sh"}}}, "off"), 400);
    EXPECT_EQ(c.request("GET", "/1.0/operations").json()["metadata"], json::object());
}

TEST_F(ExecTest, FailureToStartEndsTheOperationAndItsSockets) {
    const auto started = post({{"command", {"true"}}, {"wait-for-websocket", true}}, "exec", "broken");
    Four s{attach(started, "control"), attach(started, "0"), attach(started, "1"), attach(started, "2")};
    const auto final = wait(started);
    EXPECT_EQ(final["status_code"], 400);
    EXPECT_EQ(final["err"], "The instance has just stopped");
    while (s.out.receive_message().opcode != -1) continue;
}

TEST_F(ExecTest, HundredAtOnce) {
    std::vector<Started> all;
    std::vector<Four> sockets;
    for (int i = 0; i < 100; ++i) {
        all.push_back(exec({"sh", "-c", fmt::format("cat; echo {}; exit {}", i, i)}));
        sockets.push_back({attach(all.back(), "control"), attach(all.back(), "0"), attach(all.back(), "1"),
                           attach(all.back(), "2")});
    }
    // An operation that has ended is kept for 5 s only: each ends when its turn to be looked at has come.
    for (int i = 0; i < 100; ++i) {
        sockets[static_cast<std::size_t>(i)].in.send_frame(1, "");
        EXPECT_EQ(read_all(sockets[static_cast<std::size_t>(i)].out), fmt::format("{}\n", i));
        EXPECT_EQ(wait(all[static_cast<std::size_t>(i)])["metadata"]["return"], i);
    }
}

}  // namespace
}  // namespace lxmgr::rest
