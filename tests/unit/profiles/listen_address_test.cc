#include "profiles/listen_address.h"

#include <gtest/gtest.h>

namespace lxmgr::profiles {
namespace {

TEST(ListenAddressTest, ReadsTheFormsOfLxd) {
    const auto is = [](const char* text, const char* host, std::uint16_t port) {
        const auto parsed = parse_listen_address(text);
        return parsed && *parsed == ListenAddress{host, port};
    };
    EXPECT_TRUE(is("192.0.2.1", "192.0.2.1", 8443));
    EXPECT_TRUE(is("192.0.2.1:80", "192.0.2.1", 80));
    EXPECT_TRUE(is("[::]", "::", 8443));
    EXPECT_TRUE(is("[::]:1", "::", 1));
    EXPECT_TRUE(is("::1", "::1", 8443));
    EXPECT_TRUE(is(":8444", "::", 8444));
    EXPECT_TRUE(is("*:8444", "::", 8444));
    EXPECT_TRUE(is("0.0.0.0:65535", "0.0.0.0", 65535));
    for (const char* bad : {"host", "192.0.2.1:0", "192.0.2.1:65536", "[::", "::]", "[192.0.2.1]:1",
                            "1.2.3:4", ":", "[::1]:x", "[]:1", "192.0.2.1:80:80"}) {
        EXPECT_FALSE(parse_listen_address(bad)) << bad;
    }
    EXPECT_EQ(host_and_port("::1", 1), "[::1]:1");
    EXPECT_EQ(host_and_port("192.0.2.1", 1), "192.0.2.1:1");
}

TEST(TokenExpiryTest, TakesSecondsToo) {
    const Time from = now();
    EXPECT_EQ(token_expiry_after("30S", from).value_or(Time{}), from + std::chrono::seconds(30));
    EXPECT_TRUE(token_expiry_after("2H", from));
    for (const char* bad : {"S", "0S", "-1S", "999999S", "soon"})
        EXPECT_FALSE(token_expiry_after(bad, from)) << bad;
}

}  // namespace
}  // namespace lxmgr::profiles
