#include <fmt/format.h>

#include <filesystem>
#include <fstream>
#include <thread>

#include "lxd-daemon/instances/image_store.h"
#include "tests/unit/rest/entity_fixture.h"

using namespace lxmgr;
using namespace lxmgr::rest::testing_support;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

namespace {

class ImageRoutesTest : public EntityRoutesTest {
protected:
    Answer upload(const std::string& bytes, const std::string& headers = "") {
        return call("POST", "/1.0/images", bytes, "Content-Type: application/octet-stream\r\n" + headers);
    }
    Answer upload_split(const std::string& metadata_bytes, const std::string& rootfs_bytes) {
        const auto part = [](const std::string& name, const std::string& bytes) {
            return fmt::format(
                "--b\r\nContent-Disposition: form-data; name=\"{}\"; filename=\"{}.tar\"\r\n\r\n{}\r\n", name,
                name, bytes);
        };
        return call("POST", "/1.0/images",
                    part("metadata", metadata_bytes) + part("rootfs", rootfs_bytes) + "--b--\r\n",
                    "Content-Type: multipart/form-data; boundary=b\r\n");
    }
    std::string import(const std::string& serial) {
        const auto operation = finished(upload(unified_image(serial)));
        EXPECT_EQ(operation["status_code"], 200) << operation;
        return operation["metadata"]["fingerprint"];
    }
    std::vector<std::string> files(const std::string& folder) {
        std::vector<std::string> out;
        for (const auto& entry : std::filesystem::directory_iterator(root() + "/" + folder)) {
            out.push_back(entry.path().filename());
        }
        return out;
    }
};

}  // namespace

TEST_F(ImageRoutesTest, ImportsAUnifiedImage) {
    const std::string bytes = unified_image("1");
    const auto operation = finished(upload(bytes,
                                           "X-LXD-filename: tiny.tar\r\nX-LXD-public: true\r\n"
                                           "X-LXD-properties: os=Mine&note=a%20b%26c\r\n"));
    ASSERT_EQ(operation["status_code"], 200) << operation;
    EXPECT_EQ(operation["metadata"]["size"], std::to_string(bytes.size()));
    const std::string fingerprint = operation["metadata"]["fingerprint"];
    const auto image = metadata("/1.0/images/" + fingerprint.substr(0, 12));
    EXPECT_EQ(image["fingerprint"], fingerprint);
    EXPECT_EQ(image["properties"]["os"], "Mine");
    EXPECT_EQ(image["properties"]["note"], "a b&c");
    EXPECT_EQ(image["properties"]["serial"], "1");
    EXPECT_EQ(image["filename"], "tiny.tar");
    EXPECT_EQ(image["public"], true);
    EXPECT_EQ(image["architecture"], "x86_64");
    EXPECT_EQ(image["created_at"], "2023-11-14T22:13:20Z");
    EXPECT_THAT(metadata("/1.0/images"), ElementsAre("/1.0/images/" + fingerprint));
    EXPECT_THAT(files("images"), ElementsAre(fingerprint));
    EXPECT_THAT(files("tmp"), IsEmpty());
}

TEST_F(ImageRoutesTest, TheSameImageTwiceIsRefusedAndKept) {
    const std::string fingerprint = import("1");
    const auto operation = finished(upload(unified_image("1")));
    EXPECT_EQ(operation["status_code"], 400);
    EXPECT_EQ(operation["err"], "Image with same fingerprint already exists");
    EXPECT_THAT(files("images"), ElementsAre(fingerprint));
    EXPECT_EQ(get("/1.0/images/" + fingerprint + "/export").body, unified_image("1"));
}

TEST_F(ImageRoutesTest, ASplitImageComesBackAsItsParts) {
    const auto operation = finished(upload_split(metadata_archive("1"), rootfs_archive()));
    ASSERT_EQ(operation["status_code"], 200) << operation;
    const std::string fingerprint = operation["metadata"]["fingerprint"];
    const auto exported = get("/1.0/images/" + fingerprint + "/export");
    EXPECT_THAT(exported.header("content-type"), HasSubstr("multipart/form-data; boundary="));
    EXPECT_THAT(exported.body, HasSubstr(metadata_archive("1")));
    EXPECT_THAT(exported.body, HasSubstr(rootfs_archive()));
    EXPECT_THAT(exported.body, HasSubstr(fmt::format("filename=\"meta-{}.tar\"", fingerprint)));
    EXPECT_EQ(finished(call("DELETE", "/1.0/images/" + fingerprint))["status_code"], 200);
    EXPECT_THAT(files("images"), IsEmpty());
}

TEST_F(ImageRoutesTest, AUnifiedExportIsTheFile) {
    const auto exported = get("/1.0/images/" + import("1") + "/export");
    EXPECT_EQ(exported.body, unified_image("1"));
    EXPECT_THAT(exported.header("content-disposition"), HasSubstr("attachment;filename="));
}

TEST_F(ImageRoutesTest, WhatIsRefusedLeavesNothing) {
    const auto garbage = finished(upload("this is no image"));
    EXPECT_EQ(garbage["status_code"], 400);
    EXPECT_NE(garbage["err"], "");
    const auto other = finished(upload(unified_image("1"), "X-LXD-fingerprint: abc\r\n"));
    EXPECT_THAT(other["err"].get<std::string>(), HasSubstr("expected abc"));
    const auto hostile = finished(upload(unified_image("1"), "X-LXD-properties: os=a%1b\r\n"));
    EXPECT_EQ(hostile["status_code"], 400);
    EXPECT_EQ(finished(upload(unified_image("1"), "X-LXD-profiles: profile=absent\r\n"))["status_code"], 400);
    EXPECT_EQ(upload(unified_image("1"), "X-LXD-properties: os=%zz\r\n").status, 400);
    EXPECT_EQ(upload(unified_image("1"), "X-LXD-properties: os=%ff\r\n").status, 400);
    EXPECT_EQ(call("POST", "/1.0/images",
                   "--b\r\nContent-Disposition: form-data; name=\"rootfs\"\r\n\r\nx\r\n--b--\r\n",
                   "Content-Type: multipart/form-data; boundary=b\r\n")
                  .status,
              400);
    EXPECT_THAT(files("images"), IsEmpty());
    // A body goes with the last who holds it, which may be just after the end of its operation was told.
    for (int i = 0; i < 500 && !files("tmp").empty(); ++i)
        std::this_thread::sleep_for(std::chrono::milliseconds(10));
    EXPECT_THAT(files("tmp"), IsEmpty());
    EXPECT_THAT(metadata("/1.0/images"), IsEmpty());
}

TEST_F(ImageRoutesTest, PropertiesChangeUnderTheirEtag) {
    const std::string url = "/1.0/images/" + import("1");
    const std::string etag = get(url).header("etag");
    const std::string match = "If-Match: " + etag + "\r\n";
    EXPECT_EQ(call("PUT", url, R"({"public":true,"properties":{"mine":"yes"},"profiles":["default"]})", match)
                  .status,
              200);
    EXPECT_EQ(metadata(url)["properties"], (nlohmann::json{{"mine", "yes"}}));
    EXPECT_EQ(call("PUT", url, R"({"public":true})", match).status, 412);
    EXPECT_EQ(call("PATCH", url, R"({"properties":{"more":"1"}})").status, 200);
    EXPECT_EQ(metadata(url)["properties"], (nlohmann::json{{"mine", "yes"}, {"more", "1"}}));
    EXPECT_EQ(metadata(url)["public"], true);
    EXPECT_EQ(call("PUT", url, R"({"profiles":["absent"]})").status, 400);
    EXPECT_EQ(call("PUT", url, R"({"auto_update":true})").status, 400);
    EXPECT_EQ(call("PUT", url, R"({"properties":{"a":"\u001b"}})").status, 400);
}

TEST_F(ImageRoutesTest, AliasesLiveAndGoWithTheirImage) {
    const std::string fingerprint = import("1");
    const std::string body =
        fmt::format(R"({{"name":"debian/12","target":"{}","description":"d","type":""}})", fingerprint);
    const auto made = call("POST", "/1.0/images/aliases", body);
    EXPECT_EQ(made.status, 201) << made.body;
    EXPECT_EQ(made.header("location"), "/1.0/images/aliases/debian%2F12");
    EXPECT_EQ(call("POST", "/1.0/images/aliases", body).status, 409);
    EXPECT_EQ(metadata("/1.0/images/aliases/debian%2F12")["target"], fingerprint);
    EXPECT_EQ(metadata("/1.0/images/" + fingerprint)["aliases"][0]["name"], "debian/12");
    EXPECT_EQ(call("POST", "/1.0/images/aliases/debian%2F12", R"({"name":"d12"})").status, 201);
    EXPECT_EQ(get("/1.0/images/aliases/debian%2F12").status, 404);
    EXPECT_EQ(call("PATCH", "/1.0/images/aliases/d12", R"({"description":"new"})").status, 200);
    EXPECT_EQ(metadata("/1.0/images/aliases?recursion=1")[0]["description"], "new");
    EXPECT_EQ(call("POST", "/1.0/images/aliases", R"({"name":"x","target":"absent"})").status, 404);
    EXPECT_EQ(finished(call("DELETE", "/1.0/images/" + fingerprint))["status_code"], 200);
    EXPECT_THAT(metadata("/1.0/images/aliases"), IsEmpty());
    EXPECT_EQ(call("DELETE", "/1.0/images/aliases/d12").status, 404);
}

TEST_F(ImageRoutesTest, AmbiguousAndAbsentFingerprintsAreErrors) {
    EXPECT_EQ(get("/1.0/images/abc").status, 404);
    EXPECT_EQ(call("DELETE", "/1.0/images/abc").status, 404);
    EXPECT_EQ(get("/1.0/images/abc/export").status, 404);
    EXPECT_EQ(call("POST", "/1.0/images/" + import("1") + "/refresh").status, 400);
}

TEST_F(ImageRoutesTest, RecoveryRemovesWhatHasNoRow) {
    const std::string fingerprint = import("1");
    std::ofstream(root() + "/images/" + std::string(64, 'a')) << "half an import";
    std::ofstream(root() + "/images/" + std::string(64, 'a') + ".rootfs") << "half an import";
    std::ofstream(root() + "/images/" + fingerprint + ".rootfs") << "of a unified image";
    ASSERT_TRUE(db().intents().add("delete-image", {{"fingerprint", std::string(64, 'b')}}));
    ASSERT_TRUE(db().intents().add("create-instance", {{"name", "another room's"}}));
    instances::ImageStore store(db(), pools());
    ASSERT_TRUE(store.recover());
    EXPECT_THAT(files("images"), ElementsAre(fingerprint));
    EXPECT_EQ(db().intents().list()->size(), 1U);
    EXPECT_EQ(get("/1.0/images/" + fingerprint + "/export").body, unified_image("1"));
}
