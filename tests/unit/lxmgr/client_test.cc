#include "lxmgr/client.h"

#include <fmt/format.h>
#include <gmock/gmock.h>

#include <filesystem>
#include <fstream>

#include "lxmgr/images.h"
#include "lxmgr/local_tree.h"
#include "lxmgr/object.h"
#include "lxmgr/transfer.h"
#include "tests/unit/lxmgr/fake_daemon.h"

namespace lxmgr::cli {
namespace {

namespace fs = std::filesystem;
using ::testing::HasSubstr;
using Request = FakeDaemon::Request;

TEST(ClientTest, KeepsItsConnection) {
    FakeDaemon daemon([](const Request&) { return sync_answer("{\"a\":1}", "ETag: \"x\"\r\n"); });
    Client client(daemon.socket_path());
    for (int i = 0; i < 3; ++i) EXPECT_EQ(*client.get("/1.0"), (Json{{"a", 1}}));
    EXPECT_EQ(client.fetch("/1.0")->etag, "\"x\"");
    EXPECT_EQ(daemon.connections(), 1);
}

TEST(ClientTest, ConnectsAgainWhenTheDaemonClosed) {
    FakeDaemon daemon([](const Request&) { return sync_answer("1", "Connection: close\r\n"); });
    Client client(daemon.socket_path());
    EXPECT_TRUE(client.get("/1.0"));
    EXPECT_TRUE(client.get("/1.0"));
    EXPECT_EQ(daemon.connections(), 2);
}

TEST(ClientTest, ErrorsAreSentences) {
    FakeDaemon daemon([](const Request& request) {
        if (request.target == "/1.0/a") return error_answer(409, "the thing is in use.");
        if (request.target == "/1.0/b") return answer(502, "<html>");
        return std::string();
    });
    Client client(daemon.socket_path());
    const auto conflict = client.get("/1.0/a");
    ASSERT_FALSE(conflict);
    EXPECT_EQ(conflict.error().status, Status::conflict);
    EXPECT_EQ(conflict.error().message, "The thing is in use");
    EXPECT_THAT(client.get("/1.0/b").error().message, HasSubstr("not JSON"));
    EXPECT_EQ(client.get("/1.0/c").error().status, Status::unavailable);
}

TEST(ClientTest, AMissingDaemonIsExplained) {
    Client client(std::string("/nowhere/unix.socket"));
    const auto gone = client.get("/1.0");
    ASSERT_FALSE(gone);
    EXPECT_EQ(gone.error().message,
              "The lxmgr daemon is not running at /nowhere/unix.socket; start it with 'lxmgrd' (or "
              "'systemctl start lxmgr')");
    Client long_path("/" + std::string(200, 'x'));
    EXPECT_FALSE(long_path.get("/1.0"));
}

TEST(ClientTest, WaitsForOperations) {
    std::string outcome = R"({"id":"op","status":"Success","status_code":200})";
    FakeDaemon daemon([&outcome](const Request& request) {
        return request.target.ends_with("/wait") ? sync_answer(outcome) : operation_answer();
    });
    Client client(daemon.socket_path());
    EXPECT_EQ((*client.call("POST", "/1.0/instances", Json{{"name", "x"}}))["status_code"], 200);
    EXPECT_EQ(daemon.requests()[0].body, "{\"name\":\"x\"}");
    outcome = R"({"id":"op","status":"Failure","status_code":400,"err":"no space left"})";
    const auto failed = client.call("POST", "/1.0/instances", nullptr);
    ASSERT_FALSE(failed);
    EXPECT_EQ(failed.error().message, "No space left");
    outcome = R"({"id":"op","status":"Cancelled","status_code":401,"err":""})";
    EXPECT_EQ(client.call("POST", "/1.0/instances", nullptr).error().message, "Cancelled");
}

TEST(ClientTest, ReadsInterimAndChunkedAnswers) {
    FakeDaemon daemon([](const Request&) {
        return "HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" +
               std::string("5\r\n{\"met\r\n11\r\nadata\":{\"b\":[2]}}\r\n0\r\n\r\n");
    });
    Client client(daemon.socket_path());
    EXPECT_EQ((*client.get("/1.0"))["b"][0], 2);
    EXPECT_EQ((*client.get("/1.0"))["b"][0], 2);
}

TEST(ClientTest, StopsAnUploadThatIsRefused) {
    FakeDaemon daemon([](const Request&) { return error_answer(404, "Instance not found"); }, false);
    Client client(daemon.socket_path());
    std::uint64_t sent = 0;
    Upload endless{[&sent](std::span<char> buffer) -> Result<std::size_t> {
                       sent += buffer.size();
                       if (sent > (std::uint64_t{4} << 30U)) return fail(Status::internal, "never stopped");
                       return buffer.size();
                   },
                   std::nullopt};
    HttpRequest request{.method = "POST", .target = "/1.0/x", .headers = {}, .body = {}, .upload = &endless};
    const auto refused = client.send(std::move(request));
    ASSERT_FALSE(refused);
    EXPECT_EQ(refused.error().message, "Instance not found");
}

TEST(ChangeObjectTest, TriesAgainWhenAnotherClientWasFaster) {
    int puts = 0;
    FakeDaemon daemon([&puts](const Request& request) {
        if (request.method == "GET")
            return sync_answer(R"({"config":{"a":"1"},"devices":{},"used_by":[]})", "ETag: \"e\"\r\n");
        return ++puts < 3 ? error_answer(412, "ETag doesn't match") : sync_answer("{}");
    });
    Client client(daemon.socket_path());
    ASSERT_TRUE(set_config(client, profile_object("p"), {{"b", "2"}}));
    EXPECT_EQ(puts, 3);
    EXPECT_THAT(daemon.requests().back().head, HasSubstr("If-Match: \"e\""));
    EXPECT_EQ(daemon.requests().back().body, R"({"config":{"a":"1","b":"2"},"devices":{}})");
}

TEST(ChangeObjectTest, MissingObjectsAreExplained) {
    FakeDaemon daemon([](const Request&) { return error_answer(404, "Profile not found"); });
    Client client(daemon.socket_path());
    EXPECT_EQ(set_config(client, profile_object("p"), {{"a", "1"}}).error().message,
              "Profile 'p' does not exist; 'lxmgr profile list' shows what there is");
}

/// An instance whose file listing tries to write outside of the target.
class HostilePullTest : public ::testing::Test {
protected:
    static std::string listing(const std::string& names) {
        return sync_answer(names, "X-LXD-type: directory\r\nX-LXD-mode: 0755\r\n");
    }
    static std::string content(const std::string& type, const std::string& body) {
        return answer(200, body, "X-LXD-type: " + type + "\r\nX-LXD-mode: 4777\r\n");
    }
    Result<> pull(const std::function<std::string(const std::string&)>& serve) {
        FakeDaemon daemon([&serve](const Request& request) {
            return serve(request.target.substr(request.target.find("path=") + 5));
        });
        Client client(daemon.socket_path());
        RemoteFiles files(client, "evil");
        auto directory = open_user_directory(made_.path());
        return pull_entry(files, "/d", directory->get(), "d", true);
    }
    bool anything_escaped() const {
        for (const auto& entry : fs::directory_iterator(made_.path())) {
            if (entry.path().filename() != "d") return true;
        }
        return fs::exists("/tmp/lxmgr-escaped");
    }
    TemporaryDirectory made_ = *TemporaryDirectory::create();
};

TEST_F(HostilePullTest, NamesWithSlashesAndDotsAreRefused) {
    for (const char* name : {"../escaped", "..", ".", "", "a/b", "/tmp/lxmgr-escaped"}) {
        const auto pulled = pull([name](const std::string& path) {
            return path == "%2Fd" ? listing(fmt::format("[\"ok\",\"{}\"]", name)) : content("file", "x");
        });
        EXPECT_FALSE(pulled) << name;
        EXPECT_FALSE(anything_escaped()) << name;
    }
}

TEST_F(HostilePullTest, ALinkIsNotWrittenThrough) {
    // The same name first as a link to the outside, then as a directory with a file, then as a file.
    for (const char* second : {"directory", "file"}) {
        int seen = 0;
        const auto pulled = pull([&](const std::string& path) {
            if (path == "%2Fd") return listing(R"(["x","x"])");
            if (path == "%2Fd%2Fx" && seen++ == 0) return content("symlink", "/tmp");
            if (path == "%2Fd%2Fx" && std::string_view(second) == "directory")
                return listing(R"(["lxmgr-escaped"])");
            return content("file", "x");
        });
        EXPECT_FALSE(pulled) << second;
        EXPECT_FALSE(anything_escaped()) << second;
        fs::remove_all(made_.path() + "/d");
    }
}

TEST_F(HostilePullTest, SetuidIsDroppedAndOddTypesAreRefused) {
    ASSERT_TRUE(pull([](const std::string& path) {
        return path == "%2Fd" ? listing(R"(["f"])") : content("file", "data");
    }));
    EXPECT_EQ(fs::status(made_.path() + "/d/f").permissions() & fs::perms::set_uid, fs::perms::none);
    EXPECT_FALSE(pull([](const std::string& path) {
        return path == "%2Fd" ? listing(R"(["s"])") : content("socket", "");
    }));
}

TEST_F(HostilePullTest, ATreeWithoutEndEnds) {
    EXPECT_FALSE(pull([](const std::string&) { return listing(R"(["d"])"); }));
}

TEST_F(HostilePullTest, ListsThatAreNoneAreRefused) {
    EXPECT_FALSE(pull([](const std::string&) { return listing("[1]"); }));
    EXPECT_FALSE(pull([](const std::string&) { return answer(200, "junk", "X-LXD-type: directory\r\n"); }));
}

TEST(OpenFollowingTest, EndsOnALoop) {
    FakeDaemon daemon([](const Request&) { return answer(200, "loop", "X-LXD-type: symlink\r\n"); });
    Client client(daemon.socket_path());
    EXPECT_FALSE(RemoteFiles(client, "x").open_following("/loop"));
    EXPECT_EQ(daemon.requests().size(), 40U);
}

class ImportTest : public ::testing::Test {
protected:
    std::string write(const std::string& name, const std::string& text) {
        const std::string path = made_.path() + "/" + name;
        std::ofstream(path) << text;
        return path;
    }
    TemporaryDirectory made_ = *TemporaryDirectory::create();
};

TEST_F(ImportTest, FingerprintCoversBothFiles) {
    // SHA-256 of "abc".
    EXPECT_EQ(*fingerprint_of({write("m", "a"), write("r", "bc")}),
              "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

TEST_F(ImportTest, SendsMetadataThenRootfs) {
    const std::string fingerprint = "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
    FakeDaemon daemon([&](const Request& request) {
        if (request.method == "POST") return operation_answer();
        if (!request.target.ends_with("/wait")) return error_answer(404, "Image not found");
        return sync_answer(
            fmt::format(R"({{"status_code":200,"metadata":{{"fingerprint":"{}"}}}})", fingerprint));
    });
    Client client(daemon.socket_path());
    const ImportRequest request{.metadata_path = write("m.tar.xz", "a"),
                                .rootfs_path = write("r.squashfs", "bc"),
                                .properties = {{"os", "a b"}}};
    const auto imported = import_image(client, request);
    ASSERT_TRUE(imported) << imported.error().message;
    EXPECT_EQ(*imported, fingerprint);
    const Request sent = daemon.requests()[1];
    EXPECT_THAT(sent.head, HasSubstr("X-LXD-properties: os=a%20b"));
    EXPECT_THAT(sent.head, HasSubstr("multipart/form-data; boundary="));
    EXPECT_LT(sent.body.find("name=\"metadata\"; filename=\"m.tar.xz\""),
              sent.body.find("name=\"rootfs\"; filename=\"r.squashfs\""));
}

TEST_F(ImportTest, AnImageThatIsThereIsNotSentAgain) {
    FakeDaemon daemon([](const Request&) { return sync_answer("{}"); });
    Client client(daemon.socket_path());
    EXPECT_TRUE(
        import_image(client, {.metadata_path = write("u", "abc"), .rootfs_path = {}, .properties = {}}));
    EXPECT_EQ(daemon.requests().size(), 1U);
}

TEST_F(ImportTest, ADifferentFingerprintIsAnError) {
    FakeDaemon daemon([](const Request& request) {
        if (request.method == "POST") return operation_answer();
        if (!request.target.ends_with("/wait")) return error_answer(404, "Image not found");
        return sync_answer(R"({"status_code":200,"metadata":{"fingerprint":"00"}})");
    });
    Client client(daemon.socket_path());
    EXPECT_FALSE(
        import_image(client, {.metadata_path = write("u", "abc"), .rootfs_path = {}, .properties = {}}));
}

}  // namespace
}  // namespace lxmgr::cli
