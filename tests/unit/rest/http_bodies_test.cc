#include "tests/unit/rest/server_fixture.h"

namespace lxmgr::rest {
namespace {

TEST_F(HttpServerTest, BigBodyIsAFileThatGoesAwayWithTheRequest) {
    auto c = client();
    const std::string body = "begin" + std::string(std::size_t{5} << 20, 'z');
    const auto files = c.request("POST", "/upload", body).json()["metadata"]["files"];
    ASSERT_EQ(files.size(), 1U);
    EXPECT_EQ(files[0]["size"], body.size());
    EXPECT_TRUE(files[0]["content"].get<std::string>().starts_with("beginzzz"));
    EXPECT_EQ(c.request("GET", "/hello").status, 200);
    EXPECT_TRUE(tmp_is_empty());
}

TEST_F(HttpServerTest, EmptyUploadIsAnEmptyFile) {
    const auto files = client().request("POST", "/raw").json()["metadata"]["files"];
    ASSERT_EQ(files.size(), 1U);
    EXPECT_EQ(files[0]["size"], 0);
}

TEST_F(HttpServerTest, JsonOnAnUploadRouteIsABody) {
    auto c = client();
    auto shown = c.request("POST", "/upload", "{}", "Content-Type: application/json\r\n").json()["metadata"];
    EXPECT_EQ(shown["body"], "{}");
    EXPECT_EQ(shown["files"].size(), 0U);
    shown = c.request("POST", "/raw", "{}", "Content-Type: application/json\r\n").json()["metadata"];
    EXPECT_EQ(shown["files"].size(), 1U);
}

TEST_F(HttpServerTest, MultipartBecomesOneFileAPart) {
    auto c = client();
    const std::string rootfs(std::size_t{1} << 20, 'r');
    const std::string body =
        "--XX\r\nContent-Disposition: form-data; name=\"metadata\"; "
        "filename=\"meta.tar.xz\"\r\n\r\nmeta\r\n--YY\r\n"
        "--XX\r\nContent-Disposition: form-data; name=rootfs; filename=\"../../etc/root.squashfs\"\r\n\r\n" +
        rootfs + "\r\n--XX--\r\n";
    const auto files =
        c.request("POST", "/upload", body, "Content-Type: multipart/form-data; boundary=XX\r\n")
            .json()["metadata"]["files"];
    ASSERT_EQ(files.size(), 2U);
    EXPECT_EQ(files[0]["name"], "metadata");
    EXPECT_EQ(files[0]["filename"], "meta.tar.xz");
    EXPECT_EQ(files[0]["content"], "meta\r\n--YY");
    EXPECT_EQ(files[1]["filename"], "root.squashfs");
    EXPECT_EQ(files[1]["size"], rootfs.size());
    EXPECT_EQ(
        c.request("POST", "/upload", "--XX\r\nbroken", "Content-Type: multipart/form-data; boundary=XX\r\n")
            .status,
        400);
    EXPECT_EQ(c.request("GET", "/hello").status, 200);
    EXPECT_TRUE(tmp_is_empty());
}

TEST_F(HttpServerTest, ExpectContinueIsAnsweredBeforeTheBody) {
    auto c = client();
    c.send("POST /upload HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 3\r\n\r\n");
    EXPECT_TRUE(c.read_some().starts_with("HTTP/1.1 100 Continue\r\n\r\n"));
    c.send("abc");
    EXPECT_EQ(c.receive().json()["metadata"]["files"][0]["content"], "abc");
}

TEST_F(HttpServerTest, FileIsStreamedWhole) {
    std::string content;
    for (int i = 0; i < 300000; ++i) content += std::to_string(i);
    ASSERT_TRUE(write_file_atomic(daemon_->root() + "/tmp/big", content).has_value());
    auto c = client();
    const auto answer = c.request("GET", "/download");
    EXPECT_TRUE(answer.body == content);
    EXPECT_EQ(answer.header("Content-Type"), "application/octet-stream");
    EXPECT_EQ(c.request("HEAD", "/download").header("Content-Length"), std::to_string(content.size()));
    EXPECT_EQ(c.request("GET", "/hello").status, 200);
}

TEST_F(HttpServerTest, FileThatIsShorterThanPromisedClosesTheConnection) {
    ASSERT_TRUE(write_file_atomic(daemon_->root() + "/tmp/big", "short").has_value());
    EXPECT_EQ(client().request("GET", "/download?more=10").status, 0);
}

TEST_F(HttpServerTest, WebsocketEchoesAndPings) {
    auto c = client();
    ASSERT_TRUE(c.upgrade_to_websocket("/socket"));
    const auto ping = c.receive_frame();
    EXPECT_EQ(ping.opcode, 9);
    EXPECT_EQ(ping.payload, "keepalive");
    c.send_frame(10, "keepalive");
    c.send_frame(1, "hello");
    EXPECT_EQ(c.receive_message().payload, "hello");
    const std::string big(200000, 'b');
    c.send_frame(2, big);
    EXPECT_TRUE(c.receive_message().payload == big);
    c.send_frame(8, std::string("\x03\xe8", 2));
    EXPECT_EQ(c.receive_message().opcode, 8);
    EXPECT_TRUE(c.is_closed_by_server());
}

TEST_F(HttpServerTest, BadWebsocketHandshakeIsAnOrdinaryError) {
    auto c = client();
    EXPECT_EQ(c.request("GET", "/socket").status, 400);
    EXPECT_EQ(c.request("GET", "/socket", "", "Connection: Upgrade\r\nUpgrade: websocket\r\n").status, 400);
    EXPECT_EQ(c.request("GET", "/hello").status, 200);
}

TEST_F(HttpServerTest, OversizeWebsocketMessageEndsTheConnection) {
    auto c = client();
    ASSERT_TRUE(c.upgrade_to_websocket("/socket"));
    c.send_frame(1, std::string(std::size_t{2} << 20, 'x'));
    while (c.receive_message().opcode != -1) continue;
}

TEST_F(HttpServerTest, WebsocketIsNotOpenOnceAPingHasFoundTheClientGone) {
    Leaving gone;
    leaving = &gone;
    {
        auto c = client();
        ASSERT_TRUE(c.upgrade_to_websocket("/left"));
    }
    gone.client_is_gone.count_down();
    const bool still_open = gone.still_open.get_future().get();
    daemon_.reset();  // its thread, and with it the handler, has ended
    EXPECT_FALSE(still_open);
}

TEST_F(HttpServerTest, SocketHasItsModeAndReplacesAStaleOne) {
    struct stat info{};
    ASSERT_EQ(::stat(daemon_->socket_path().c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 07777U, 0660U);
    const auto next = listen_unix(daemon_->socket_path(), 0600, 0);
    ASSERT_TRUE(next.has_value());
    ASSERT_EQ(::stat(daemon_->socket_path().c_str(), &info), 0);
    EXPECT_EQ(info.st_mode & 07777U, 0600U);
    EXPECT_EQ(listen_unix("/tmp/" + std::string(120, 'x'), 0600, 0).error().status, Status::bad_request);
}

TEST_F(HttpServerTest, SurvivesRandomBytes) {
    std::srand(42);
    for (int round = 0; round < 300; ++round) {
        std::string text =
            "POST /upload HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\nContent-Type: "
            "multipart/form-data; boundary=XX\r\n\r\n10\r\n--XX\r\nContent-Di\r\n5\r\nhello\r\n0\r\n\r\n";
        for (int change = 0; change < 1 + round % 8; ++change) {
            text[static_cast<std::size_t>(std::rand()) % text.size()] = static_cast<char>(std::rand() % 256);
        }
        auto c = client();
        (void)c.try_send(text);
        c.finish_sending();
        const auto answer = c.receive();
        EXPECT_TRUE(answer.status == 0 || answer.status >= 200) << text;
    }
    EXPECT_EQ(client().request("GET", "/hello").status, 200);
}

}  // namespace
}  // namespace lxmgr::rest
