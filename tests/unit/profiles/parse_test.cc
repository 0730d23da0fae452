#include <gmock/gmock.h>

#include <chrono>

#include "profiles/config_keys.h"

using namespace lxmgr;
using namespace lxmgr::profiles;
using testing::ElementsAre;

TEST(ParseSizeTest, TakesLxdUnits) {
    const std::pair<const char*, std::uint64_t> cases[] = {{"0", 0},
                                                           {"1073741824", 1073741824},
                                                           {"1B", 1},
                                                           {"512MiB", 512ULL << 20},
                                                           {"2GiB", 2ULL << 30},
                                                           {"1kB", 1000},
                                                           {"3KB", 3000},
                                                           {"1GB", 1000000000},
                                                           {"7EiB", 7ULL << 60},
                                                           {"5 bytes", 5},
                                                           {"1TiB", 1ULL << 40}};
    for (const auto& [text, bytes] : cases) {
        const auto parsed = parse_size(text);
        ASSERT_TRUE(parsed) << text;
        EXPECT_EQ(*parsed, bytes) << text;
    }
}

TEST(ParseSizeTest, TakesPercentagesOfAKnownTotal) {
    EXPECT_EQ(*parse_size("50%", 1001), 500U);
    EXPECT_EQ(*parse_size("100%", ~0ULL), ~0ULL);
    EXPECT_FALSE(parse_size("50%"));
    EXPECT_FALSE(parse_size("101%", 1000));
    EXPECT_FALSE(parse_size("%", 1000));
}

TEST(ParseSizeTest, RefusesWhatIsNoSize) {
    for (const char* text : {"", "-1", "+1", "1.5GB", "GiB", "1 GiB", "8EiB", "99999999999999999999", "0x10",
                             "1gib", "1MiBMiB", " 1", "1\n"}) {
        EXPECT_FALSE(parse_size(text)) << text;
    }
}

TEST(ParseBoolTest, KnowsLxdsTrueWords) {
    for (const char* text : {"true", "True", "1", "yes", "on", "ON"}) EXPECT_TRUE(parse_bool(text)) << text;
    for (const char* text : {"false", "", "2", "tru", "y", " true"}) EXPECT_FALSE(parse_bool(text)) << text;
}

TEST(ParseCpuLimitTest, TakesCountsAndSets) {
    EXPECT_EQ(parse_cpu_limit("4")->count, 4);
    EXPECT_TRUE(parse_cpu_limit("4")->pinned.empty());
    EXPECT_EQ(parse_cpu_limit("0-0")->count, 0);
    EXPECT_THAT(parse_cpu_limit("0-0")->pinned, ElementsAre(0));
    EXPECT_THAT(parse_cpu_limit("7,0-3,2")->pinned, ElementsAre(0, 1, 2, 3, 7));
    EXPECT_EQ(parse_cpu_limit("0-8191")->pinned.size(), 8192U);
}

TEST(ParseCpuLimitTest, RefusesHugeAndBrokenOnesAtNoCost) {
    const auto start = std::chrono::steady_clock::now();
    std::string many;
    for (int i = 0; i < 100000; ++i) many += "0-8191,";
    for (const std::string& text :
         {std::string("0"), std::string("8193"), std::string("0-4294967295"),
          std::string("0-18446744073709551615"), std::string("3-1"), std::string("1,"), std::string(",1"),
          std::string("a"), std::string(""), std::string("1-"), std::string("-1"), std::string("0--1"),
          std::string("1-2-3"), many}) {
        EXPECT_FALSE(parse_cpu_limit(text)) << text.substr(0, 40);
    }
    EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::seconds(2));
}

TEST(ParseCpuAllowanceTest, TakesSharesAndQuotas) {
    EXPECT_EQ(parse_cpu_allowance("50%")->percent, 50);
    const auto quota = parse_cpu_allowance("25ms/100ms");
    ASSERT_TRUE(quota);
    EXPECT_EQ(quota->percent, 0);
    EXPECT_EQ(quota->quota_us, 25000);
    EXPECT_EQ(quota->period_us, 100000);
    EXPECT_TRUE(parse_cpu_allowance("400ms/100ms"));  // four CPUs' worth
}

TEST(ParseCpuAllowanceTest, RefusesTheRest) {
    for (const char* text : {"", "0%", "101%", "-1%", "50", "25ms", "25ms/", "0ms/100ms", "1ms/0ms", "1s/2s",
                             "1ms/2000ms", "99999999999ms/1ms", "a%"}) {
        EXPECT_FALSE(parse_cpu_allowance(text)) << text;
    }
}

TEST(ParseProxyAddressTest, TakesAllKinds) {
    using Kind = ProxyAddress::Kind;
    const auto tcp = parse_proxy_address("tcp:[::1]:80,90-92");
    ASSERT_TRUE(tcp);
    EXPECT_EQ(tcp->address, "::1");
    EXPECT_EQ(tcp->ports, (std::vector<int>{80, 90, 91, 92}));
    EXPECT_EQ(parse_proxy_address("udp:127.0.0.1:53")->kind, Kind::udp);
    EXPECT_EQ(parse_proxy_address("unix:/run/x.sock")->kind, Kind::unix_path);
    EXPECT_EQ(parse_proxy_address("unix:@name")->kind, Kind::unix_abstract);
    EXPECT_EQ(parse_proxy_address("unix:@name")->address, "name");
}

TEST(ParseProxyAddressTest, RefusesTheRest) {
    for (const char* text : {"",
                             "tcp",
                             "tcp:",
                             "tcp:1.2.3.4",
                             "tcp:1.2.3.4:",
                             "tcp:1.2.3.4:0",
                             "tcp:1.2.3.4:65536",
                             "tcp:::1:80",
                             "tcp:[1.2.3.4]:80",
                             "tcp:name:80",
                             "tcp:1.2.3.4:9-8",
                             "tcp:1.2.3.4:8,8",
                             "tcp:1.2.3.4:1-60000",
                             "tcp:1.2.3.4:80,",
                             "unix:",
                             "unix:@",
                             "unix:relative",
                             "unix:/a/../b",
                             "unix:/a/",
                             "sctp:1.2.3.4:80"}) {
        EXPECT_FALSE(parse_proxy_address(text)) << text;
    }
    EXPECT_FALSE(parse_proxy_address("unix:@" + std::string(108, 'x')));
}

TEST(ParseDiskRateTest, BytesOrOperations) {
    const auto bytes = parse_disk_rate("10MiB");
    ASSERT_TRUE(bytes);
    EXPECT_EQ(bytes->per_second, 10U << 20U);
    EXPECT_FALSE(bytes->is_operations);
    const auto operations = parse_disk_rate("500iops");
    ASSERT_TRUE(operations);
    EXPECT_EQ(operations->per_second, 500U);
    EXPECT_TRUE(operations->is_operations);
    for (const char* bad : {"", "0", "0iops", "iops", "-1iops", "1.5iops", "10 MiB", "5000000000iops", "50%"})
        EXPECT_FALSE(parse_disk_rate(bad)) << bad;
}
