#include "network/lease_file.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <random>

#include "network/address_choice.h"
#include "network/dhcp_release.h"
#include "network/lease_list.h"

namespace lxmgr::network {
namespace {

constexpr const char* kFile =
    "1700000000 00:16:3e:00:00:11 10.1.1.5 web 01:00:16:3e:00:00:11\n"
    "0 00:16:3e:00:00:12 10.1.1.6 * *\n"
    "1700000000 06-00:16:3e:00:00:13 10.1.1.7 db ff:00\n"
    "duid 00:01:00:01:2c:00:00:00:00:16:3e:00:00:01\n"
    "1700000000 12345 fd42::5 web 00:03:00:01:00:16:3e:00:00:11\n"
    "1700000000 T777 fd42::6 * 00:02:00:00\n";

TEST(LeaseFileTest, ReadsBothFamilies) {
    const auto leases = parse_leases(kFile, 1600000000);
    ASSERT_EQ(leases.size(), 5u);
    EXPECT_EQ(leases[0].address_text(), "10.1.1.5");
    EXPECT_EQ(leases[0].hostname, "web");
    EXPECT_EQ(leases[0].client_id, std::string("\x01\x00\x16\x3e\x00\x00\x11", 7));
    EXPECT_EQ(leases[1].hostname, "");
    EXPECT_EQ(leases[1].client_id, "");
    EXPECT_EQ(leases[1].expires_s, 0);
    EXPECT_EQ(format_mac(*leases[2].hwaddr), "00:16:3e:00:00:13");
    EXPECT_EQ(leases[3].address_text(), "fd42::5");
    EXPECT_EQ(format_mac(*leases[3].hwaddr), "00:16:3e:00:00:11");
    EXPECT_FALSE(leases[4].hwaddr);
}

TEST(LeaseFileTest, LeavesOutWhatHasEndedAndWhatIsHalfWritten) {
    EXPECT_EQ(parse_leases(kFile, 1700000000).size(), 1u);
    EXPECT_TRUE(parse_leases("1700000000 00:16:3e:00:00:11 10.1.1.5 web 01:00", 0).empty());
}

TEST(LeaseFileTest, HidesNamesThatAreNone) {
    const auto leases = parse_leases("0 00:16:3e:00:00:11 10.1.1.5 we\x1b[2Jb *\n", 0);
    ASSERT_EQ(leases.size(), 1u);
    EXPECT_EQ(leases[0].hostname, "");
}

TEST(LeaseFileTest, SurvivesAnyBytes) {
    std::mt19937 random(42);
    const std::string alphabet = "0123456789abcdef:.-* \n\tT\xff\x00z";
    for (int round = 0; round < 20000; ++round) {
        std::string text = round % 2 == 0 ? std::string(kFile) : std::string();
        const std::size_t edits = random() % 40;
        for (std::size_t i = 0; i < edits; ++i) {
            const char c = alphabet[random() % alphabet.size()];
            if (text.empty() || round % 2 == 1) {
                text += c;
            } else {
                text[random() % text.size()] = c;
            }
        }
        for (const auto& lease : parse_leases(text, 0)) {
            EXPECT_FALSE(lease.address_text().empty());
            if (!std::holds_alternative<std::uint32_t>(lease.address)) continue;
            EXPECT_GE(release_packet(lease, 1, 2).size(), 300u);
        }
    }
}

TEST(IpTest, ParsersRefuseWhatIsNotExactlyTheirs) {
    for (const char* text : {"", "1.2.3", "1.2.3.4.5", "01.2.3.4", "1.2.3.4 ", "a.b.c.d", "1.2.3.256"})
        EXPECT_FALSE(parse_ipv4(text)) << text;
    EXPECT_FALSE(parse_ipv4(std::string_view("1.2.3.4\0x", 9)));
    for (const char* text : {"", ":", "fd42::1::2", "fd42::1%eth0", "g::"})
        EXPECT_FALSE(parse_ipv6(text)) << text;
    for (const char* text :
         {"", "00:16:3e:00:00", "00-16-3e-00-00-11", "00:16:3e:00:00:1g", "00:16:3e:00:00:111"})
        EXPECT_FALSE(parse_mac(text)) << text;
    EXPECT_EQ(format_ipv4(*parse_ipv4("10.20.30.40")), "10.20.30.40");
    EXPECT_EQ(format_ipv6(*parse_ipv6("FD42:0:0::1")), "fd42::1");
    EXPECT_EQ(format_ipv6(eui64(*parse_ipv6_net("fd42:1:2:3::1/64"), *parse_mac("00:16:3e:aa:bb:cc"))),
              "fd42:1:2:3:216:3eff:feaa:bbcc");
    EXPECT_TRUE(parse_ipv4_net("10.0.0.0/8")->overlaps(*parse_ipv4_net("10.3.2.1/24")));
    EXPECT_TRUE(parse_ipv4_net("10.3.2.1/24")->overlaps(*parse_ipv4_net("10.0.0.0/8")));
    EXPECT_FALSE(parse_ipv4_net("10.3.2.1/24")->overlaps(*parse_ipv4_net("10.3.3.1/24")));
}

BridgeConfig config_of(const api::ConfigMap& config) { return *parse_bridge_config("testbr0", config); }

TEST(AddressChoiceTest, IsTheSameForTheSameNameAndNeverATakenOne) {
    const BridgeConfig config = config_of({{"ipv4.address", "10.1.1.1/24"}});
    const auto first = choose_address("web", config, {});
    EXPECT_EQ(*first, *choose_address("web", config, {}));
    const auto second = choose_address("web", config, {*first});
    EXPECT_NE(*first, *second);
    EXPECT_EQ(*first, *choose_address("web", config, {*second}));
}

TEST(AddressChoiceTest, GivesEveryAddressOnceAndThenFails) {
    const BridgeConfig config =
        config_of({{"ipv4.address", "10.1.1.9/27"}, {"ipv4.dhcp.gateway", "10.1.1.10"}});
    std::vector<std::uint32_t> taken;
    for (int i = 0; i < 28; ++i) {
        const auto address = choose_address("c" + std::to_string(i), config, taken);
        ASSERT_TRUE(address) << i;
        EXPECT_TRUE(config.ipv4.address->contains(*address));
        EXPECT_EQ(std::ranges::count(taken, *address), 0);
        taken.push_back(*address);
    }
    const auto full = choose_address("last", config, taken);
    ASSERT_FALSE(full);
    EXPECT_EQ(full.error().status, Status::unavailable);
}

TEST(LeaseListTest, ShowsGatewaysClaimsAndLeasesOnce) {
    BridgeConfig config = config_of({{"ipv4.address", "10.1.1.1/24"},
                                     {"ipv6.address", "fd42:1:2:3::1/64"},
                                     {"volatile.bridge.hwaddr", "00:16:3e:00:00:01"}});
    const std::vector<AddressClaim> claims{{"web", "eth0", "00:16:3e:00:00:11", "10.1.1.5", "", true}};
    const auto list = list_leases("testbr0", config, claims, parse_leases(kFile, 1600000000));
    std::vector<std::string> lines;
    for (const auto& lease : list) lines.push_back(lease.type + " " + lease.hostname + " " + lease.address);
    EXPECT_THAT(lines,
                ::testing::ElementsAre("gateway testbr0.gw 10.1.1.1", "gateway testbr0.gw fd42:1:2:3::1",
                                       "static web 10.1.1.5", "dynamic web fd42:1:2:3:216:3eff:fe00:11",
                                       "dynamic  10.1.1.6", "dynamic db 10.1.1.7", "dynamic web fd42::5",
                                       "dynamic  fd42::6"));
}

}  // namespace
}  // namespace lxmgr::network
