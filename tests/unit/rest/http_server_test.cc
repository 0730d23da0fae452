#include "tests/unit/rest/server_fixture.h"

namespace lxmgr::rest {
namespace {

TEST_F(HttpServerTest, KeepsTheConnectionForTheNextRequest) {
    auto c = client();
    for (int i = 0; i < 5; ++i) {
        const auto answer = c.request("GET", "/hello");
        EXPECT_EQ(answer.status, 200);
        EXPECT_EQ(answer.header("Content-Type"), "application/json");
        EXPECT_EQ(answer.json(), (nlohmann::json{{"type", "sync"},
                                                 {"status", "Success"},
                                                 {"status_code", 200},
                                                 {"operation", ""},
                                                 {"error_code", 0},
                                                 {"error", ""},
                                                 {"metadata", {{"hello", "world"}}}}));
    }
}

TEST_F(HttpServerTest, AnswersPipelinedRequestsInOrder) {
    auto c = client();
    std::string all;
    for (int i = 0; i < 100; ++i) {
        all += "GET /echo/n" + std::to_string(i) + "/x HTTP/1.1\r\nHost: a\r\n\r\n";
        if (i % 2 == 1) all += "GET /slow HTTP/1.1\r\nHost: a\r\n\r\n";
    }
    c.send(all);
    for (int i = 0; i < 100; ++i) {
        EXPECT_EQ(c.receive().json()["metadata"]["args"]["name"], "n" + std::to_string(i));
        if (i % 2 == 1) {
            EXPECT_EQ(c.receive().json()["metadata"], 7);
        }
    }
}

TEST_F(HttpServerTest, UnderstandsARequestThatComesByteByByte) {
    auto c = client();
    for (const char byte :
         std::string("POST /echo/a/x HTTP/1.1\r\nHost: a\r\nContent-Length: 7\r\n\r\n{\"a\":1}")) {
        c.send({&byte, 1});
    }
    EXPECT_EQ(c.receive().json()["metadata"]["body"], (nlohmann::json{{"a", 1}}));
}

TEST_F(HttpServerTest, DecodesPathAndQuery) {
    auto c = client();
    const auto shown = c.request("GET", "/echo/a%2Fb/x?project=default&path=%2Fetc%2Fx+y&path=second&flag")
                           .json()["metadata"];
    EXPECT_EQ(shown["args"]["name"], "a/b");
    EXPECT_EQ(shown["query"]["path"], "/etc/x y");
    EXPECT_EQ(shown["query"]["flag"], "");
    EXPECT_EQ(shown["requestor"],
              (nlohmann::json{{"username", "root"}, {"protocol", "unix"}, {"address", "@"}}));
}

TEST_F(HttpServerTest, ServesTheOldNameOfInstances) {
    const auto shown = client().request("GET", "/1.0/containers/c1").json()["metadata"];
    EXPECT_EQ(shown["path"], "/1.0/instances/c1");
    EXPECT_EQ(shown["old_names"], true);
}

TEST_F(HttpServerTest, UnknownPathsAndVerbsHaveLxdsWords) {
    auto c = client();
    auto answer = c.request("GET", "/nowhere");
    EXPECT_EQ(answer.status, 404);
    EXPECT_EQ(answer.json()["error"], "not found");
    EXPECT_EQ(answer.json()["error_code"], 404);
    EXPECT_EQ(answer.header("X-Content-Type-Options"), "nosniff");
    answer = c.request("DELETE", "/hello");
    EXPECT_EQ(answer.status, 501);
    EXPECT_EQ(answer.json()["error"], "not implemented");
    EXPECT_EQ(c.request("OPTIONS", "/hello").status, 501);
    EXPECT_EQ(c.request("GET", "/hello").status, 200);
}

TEST_F(HttpServerTest, HeadHasTheLengthButNoBody) {
    auto c = client();
    const auto answer = c.request("HEAD", "/hello");
    EXPECT_EQ(answer.status, 200);
    EXPECT_GT(std::stoi(answer.header("Content-Length")), 100);
    EXPECT_EQ(c.request("GET", "/hello").status, 200);
}

TEST_F(HttpServerTest, AcceptsTheEmptyJsonStringThatLxcQuerySends) {
    auto c = client();
    EXPECT_EQ(c.request("GET", "/echo/a/x", "\"\"").status, 200);
    EXPECT_EQ(c.request("GET", "/echo/a/x", "null").status, 200);
    EXPECT_EQ(c.request("POST", "/echo/a/x", "[1]").status, 400);
    EXPECT_EQ(c.request("POST", "/echo/a/x", "{nonsense").status, 400);
    EXPECT_EQ(c.request("POST", "/echo/a/x", "{\"a\":" + std::string(500, '[')).status, 400);
    EXPECT_EQ(c.request("GET", "/hello").status, 200);
}

TEST_F(HttpServerTest, ChunkedBodiesAreRead) {
    auto c = client();
    c.send(
        "POST /echo/a/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: "
        "chunked\r\n\r\n3\r\n{\"a\r\n4\r\n\":1}\r\n0\r\n\r\n");
    EXPECT_EQ(c.receive().json()["metadata"]["body"], (nlohmann::json{{"a", 1}}));
}

TEST_F(HttpServerTest, MalformedRequestsGetOneAnswerAndTheConnectionIsClosed) {
    const std::string bad[] = {
        "nonsense\r\n\r\n",
        "GET\r\n\r\n",
        "GET / HTTP/9.9\r\n\r\n",
        std::string("GET /\0 HTTP/1.1\r\n\r\n", 19),
        "GET / HTTP/1.1\r\nNo colon here\r\n\r\n",
        "GET / HTTP/1.1\r\nContent-Length: -1\r\n\r\n",
        "GET / HTTP/1.1\r\nContent-Length: 99999999999999999999999\r\n\r\n",
        "\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    };
    for (const auto& text : bad) {
        auto c = client();
        c.send(text);
        EXPECT_EQ(c.receive().status, 400) << text;
        EXPECT_TRUE(c.is_closed_by_server()) << text;
    }
    EXPECT_EQ(client().request("GET", "/bad%zz").status, 400);
    EXPECT_EQ(client().request("GET", "/hello").status, 200);
}

TEST_F(HttpServerTest, OversizeHeadIsRefused) {
    auto c = client();
    (void)c.try_send("GET /hello HTTP/1.1\r\nX-Long: " + std::string(20000, 'a') + "\r\n\r\n");
    EXPECT_EQ(c.receive().status, 400);
    EXPECT_TRUE(c.is_closed_by_server());
}

TEST_F(HttpServerTest, OversizeJsonBodyIsRefused) {
    auto c = client();
    (void)c.try_send("POST /echo/a/x HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999\r\n\r\n" +
                     std::string(70000, ' '));
    c.finish_sending();
    EXPECT_EQ(c.receive().status, 413);
    auto chunked = client();
    std::string text = "POST /echo/a/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    for (int i = 0; i < 80; ++i) text += "4000\r\n" + std::string(0x4000, ' ') + "\r\n";
    (void)chunked.try_send(text + "0\r\n\r\n");
    EXPECT_EQ(chunked.receive().status, 413);
    EXPECT_EQ(client().request("POST", "/echo/a/x", "{\"a\":\"" + std::string(1000000, 'x') + "\"}").status,
              200);
}

TEST_F(HttpServerTest, EndlessSizeLinesAndTrailersAreRefused) {
    const std::string head = "POST /echo/a/x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n";
    for (const std::string& begin : {std::string("1;"), std::string("0\r\nX-Trailer: ")}) {
        auto c = client();
        (void)c.try_send(head + begin + std::string(200'000, 'a'));
        EXPECT_EQ(c.receive().status, 400);
        EXPECT_TRUE(c.is_closed_by_server());
    }
}

TEST_F(HttpServerTest, AnswersWithoutWaitingForABodyItDoesNotWant) {
    auto c = client();
    c.send("POST /echo/a/x HTTP/1.1\r\nHost: a\r\nContent-Length: 2097152\r\n\r\n{");
    EXPECT_EQ(c.receive().status, 413);
    EXPECT_TRUE(c.is_closed_by_server());
    auto other = client();
    other.send("POST /nowhere HTTP/1.1\r\nHost: a\r\nContent-Length: 99999999999\r\n\r\n");
    const auto answer = other.receive();
    EXPECT_EQ(answer.status, 404);
    EXPECT_EQ(answer.header("Connection"), "close");
    auto small = client();
    EXPECT_EQ(small.request("POST", "/nowhere", "{}").status, 404);
    EXPECT_EQ(small.request("GET", "/hello").status, 200);
}

TEST_F(HttpServerTest, WebsocketsBeyondTheLimitAreRefused) {
    start({.max_upgraded = 2});
    auto one = client();
    ASSERT_TRUE(one.upgrade_to_websocket("/socket"));
    {
        auto two = client();
        ASSERT_TRUE(two.upgrade_to_websocket("/socket"));
        EXPECT_FALSE(client().upgrade_to_websocket("/socket"));
    }
    while (!client().upgrade_to_websocket("/socket")) std::this_thread::yield();
}

TEST_F(HttpServerTest, ExceptionOfAHandlerIsAnInternalError) {
    auto c = client();
    const auto answer = c.request("GET", "/throws");
    EXPECT_EQ(answer.status, 500);
    EXPECT_FALSE(answer.body.contains("deliberate"));
    EXPECT_EQ(c.request("GET", "/hello").status, 200);
}

TEST_F(HttpServerTest, SlowHeadIsCutOffAndOthersAreServed) {
    start({.header_time = std::chrono::milliseconds(500)});
    auto slow_client = client();
    slow_client.send("GET /hello HT");
    EXPECT_EQ(client().request("GET", "/hello").status, 200);
    const auto begin = std::chrono::steady_clock::now();
    EXPECT_TRUE(slow_client.is_closed_by_server());
    EXPECT_LT(std::chrono::steady_clock::now() - begin, std::chrono::seconds(9));
}

TEST_F(HttpServerTest, StalledBodyAndStalledReaderAreCutOff) {
    start({.stall_time = std::chrono::milliseconds(300)});
    auto sender = client();
    sender.send("POST /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 1000\r\n\r\nabc");
    auto reader = client();
    reader.send("GET /big HTTP/1.1\r\nHost: a\r\n\r\n");
    EXPECT_TRUE(sender.is_closed_by_server());
    while (!reader.read_some().empty()) continue;
    while (daemon_->connections() > 0) std::this_thread::yield();
    EXPECT_TRUE(tmp_is_empty());
}

TEST_F(HttpServerTest, BeyondTheLimitTheLongestIdleConnectionMakesRoom) {
    start({.max_connections = 4});
    std::vector<Client> held;
    for (int i = 0; i < 4; ++i) {
        held.push_back(client());
        EXPECT_EQ(held.back().request("GET", "/hello").status, 200);
    }
    auto extra = client();
    EXPECT_EQ(extra.request("GET", "/hello").status, 200);
    EXPECT_TRUE(held[0].is_closed_by_server());
    EXPECT_EQ(held[1].request("GET", "/hello").status, 200);
}

TEST_F(HttpServerTest, BeyondTheLimitOfBusyConnectionsNewOnesAreRefused) {
    start({.max_connections = 2});
    auto one = client();
    one.send("GET /hel");
    auto two = client();
    two.send("GET /hel");
    while (daemon_->connections() < 2) std::this_thread::yield();
    EXPECT_EQ(client().receive().status, 503);
    one.send("lo HTTP/1.1\r\n\r\n");
    EXPECT_EQ(one.receive().status, 200);
}

TEST_F(HttpServerTest, ServesAThousandConnections) {
    rlimit limit{};
    ::getrlimit(RLIMIT_NOFILE, &limit);
    limit.rlim_cur = limit.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &limit);
    std::vector<Client> all;
    for (int i = 0; i < 1000; ++i) all.push_back(client());
    for (auto& c : all) c.send("GET /hello HTTP/1.1\r\n\r\n");
    for (auto& c : all) EXPECT_EQ(c.receive().status, 200);
    EXPECT_EQ(daemon_->connections(), 1000U);
    all.clear();
    while (daemon_->connections() > 0) std::this_thread::yield();
}

}  // namespace
}  // namespace lxmgr::rest
