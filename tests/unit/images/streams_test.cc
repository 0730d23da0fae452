#include <arpa/inet.h>
#include <fmt/format.h>
#include <gtest/gtest.h>

#include "images/sha256.h"
#include "images/streams/catalog.h"
#include "images/web/address.h"
#include "images/web/web.h"

namespace lxmgr::images {
namespace {

const std::string kA(64, 'a'), kB(64, 'b'), kC(64, 'c');

std::string item(const std::string& kind, const std::string& path, const std::string& more = "") {
    return fmt::format(R"("{0}": {{"ftype": "{0}", "path": "{1}", "sha256": "{2}", "size": 7{3}}})", kind,
                       path, kA, more);
}

std::string product(const std::string& arch, const std::string& versions) {
    return fmt::format(
        R"({{"products": {{"p:{0}": {{"aliases": "24.04, lts", "arch": "{0}", "os": "ubuntu", "release": "noble",
        "release_title": "24.04 LTS", "version": "24.04", "support_eol": "2029-05-31", "versions": {{{1}}}}}}}}})",
        arch, versions);
}

std::string version(const std::string& name, const std::string& items) {
    return fmt::format(R"("{}": {{"label": "release", "items": {{{}}}}})", name, items);
}

std::vector<StreamImage> read(const std::string& json) {
    const auto products = parse_stream_products(json);
    EXPECT_TRUE(products) << (products ? "" : products.error().message);
    return products ? images_of(*products) : std::vector<StreamImage>{};
}

std::string combined() {
    return fmt::format(R"(, "combined_squashfs_sha256": "{}", "combined_rootxz_sha256": "{}")", kB, kC);
}

TEST(StreamsTest, TakesTheNewestAndSquashfsFirst) {
    const std::string items = item("lxd.tar.xz", "a/lxd.tar.xz", combined()) + "," +
                              item("root.tar.xz", "a/root.tar.xz") + "," + item("squashfs", "a/x.squashfs");
    std::string newer = items;
    const auto images = read(product("amd64", version("20240423", items) + "," + version("20240821", newer)));
    ASSERT_EQ(images.size(), 4U);
    EXPECT_EQ(images[0].properties.at("serial"), "20240821");
    EXPECT_EQ(images[0].fingerprint, kB);
    EXPECT_EQ(images[1].fingerprint, kC);
    EXPECT_EQ(images[0].properties.at("description"), "ubuntu 24.04 LTS amd64 (release) (20240821)");
    EXPECT_EQ(find_stream_image(images, "lts", "x86_64"), &images[0]);
    EXPECT_EQ(find_stream_image(images, "lts/amd64", "aarch64"), &images[0]);
    EXPECT_EQ(find_stream_image(images, "lts", "aarch64"), nullptr);
    EXPECT_EQ(find_stream_image(images, kC.substr(0, 12), "x86_64"), &images[1]);
    EXPECT_EQ(find_stream_image(images, "c", "x86_64"), nullptr);
    EXPECT_TRUE(images[2].aliases.empty());
}

TEST(StreamsTest, LeavesOutWhatCannotBeChecked) {
    const std::string good = item("lxd.tar.xz", "a/lxd.tar.xz", combined());
    for (const std::string& rootfs :
         {item("squashfs", "../x"), item("squashfs", "/etc/x"), item("squashfs", "https://x/y"),
          std::string(R"("squashfs": {"ftype": "squashfs", "path": "x", "sha256": "zz", "size": 1})"),
          std::string(R"("squashfs": {"ftype": "squashfs", "path": "x", "sha256": ")" + kA + R"("})")}) {
        EXPECT_TRUE(read(product("amd64", version("20240423", good + "," + rootfs))).empty()) << rootfs;
    }
    const std::string whole = item("lxd_combined.tar.gz", "a/x.tar.gz");
    EXPECT_EQ(read(product("amd64", version("20240423", whole))).size(), 1U);
    EXPECT_TRUE(read(product("pdp11", version("20240423", whole))).empty());
    EXPECT_TRUE(read(product("amd64", version("yesterday", whole))).empty());
}

TEST(StreamsTest, IndexNamesFilesOfDownloadsOnly) {
    const auto paths = parse_stream_index(
        R"({"index": {"a": {"datatype": "image-ids", "path": "x"}, "b": {"path": "y", "datatype": "image-downloads"}}})");
    ASSERT_TRUE(paths);
    EXPECT_EQ(*paths, std::vector<std::string>{"y"});
    EXPECT_FALSE(parse_stream_index("{"));
    EXPECT_FALSE(parse_stream_index(std::string(100, '[')));
}

TEST(WebAddressTest, KnowsLocalOnes) {
    const auto local = [](const char* text) {
        sockaddr_in v4{};
        v4.sin_family = AF_INET;
        if (inet_pton(AF_INET, text, &v4.sin_addr) == 1)
            return is_local_address(reinterpret_cast<const sockaddr*>(&v4));
        sockaddr_in6 v6{};
        v6.sin6_family = AF_INET6;
        EXPECT_EQ(inet_pton(AF_INET6, text, &v6.sin6_addr), 1) << text;
        return is_local_address(reinterpret_cast<const sockaddr*>(&v6));
    };
    for (const char* text : {"127.0.0.1", "127.9.9.9", "169.254.169.254", "0.0.0.0", "::1", "::", "fe80::1",
                             "::ffff:127.0.0.1", "::ffff:169.254.1.1"})
        EXPECT_TRUE(local(text)) << text;
    for (const char* text :
         {"10.0.0.1", "192.168.1.1", "128.0.0.1", "fd00::1", "2001:db8::1", "::ffff:10.0.0.1"})
        EXPECT_FALSE(local(text)) << text;
}

TEST(WebAddressTest, KnowsLocalNames) {
    for (const char* text : {"127.0.0.1", "127.1", "2130706433", "0x7f000001", "169.254.169.254", "::1",
                             "fe80::1%eth0", "localhost", "x.localhost"})
        EXPECT_TRUE(is_local_name(text)) << text;
    for (const char* text : {"10.0.0.1", "example.org", "localhost.example.org", "2001:db8::1", "fd00::1"})
        EXPECT_FALSE(is_local_name(text)) << text;
}

TEST(WebAddressTest, ReadsUrls) {
    EXPECT_EQ(parse_url("HTTPS://User:secret@Example.ORG:8443/x?y")->host, "example.org");
    EXPECT_EQ(parse_url("https://[2001:DB8::1]:1/")->host, "2001:db8::1");
    EXPECT_EQ(parse_url("http://x")->scheme, "http");
    for (const char* bad :
         {"", "x", "file:///etc/passwd", "https://", "https:///x", "https://a b", "https://a\nb"})
        EXPECT_FALSE(parse_url(bad)) << bad;
    EXPECT_EQ(shown_url("https://user:secret@host/x?token=1#f"), "https://host/x");
}

TEST(WebAddressTest, IgnoresHostsAndTheirDomains) {
    EXPECT_TRUE(is_ignored_host("a.example,.b.example", "x.b.example"));
    EXPECT_TRUE(is_ignored_host("*", "any"));
    EXPECT_FALSE(is_ignored_host("a.example", "ba.example"));
    EXPECT_FALSE(is_ignored_host("", "a"));
}

TEST(Sha256Test, BeginsAgainAfterRestart) {
    auto hash = Sha256::open();
    ASSERT_TRUE(hash);
    ASSERT_TRUE(hash->add("other"));
    ASSERT_TRUE(hash->restart());
    ASSERT_TRUE(hash->add("abc"));
    EXPECT_EQ(*hash->finish(), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
}

}  // namespace
}  // namespace lxmgr::images
