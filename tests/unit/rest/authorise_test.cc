#include "lxd-daemon/rest/authorise.h"

#include <gtest/gtest.h>

#include "lxd-daemon/rest/routes.h"

namespace lxmgr::rest {
namespace {

using auth::Identity;
using auth::Who;

const Identity kNobody;
const Identity kLocal{.who = Who::local};
const Identity kFull{.who = Who::client};
const Identity kMetrics{.who = Who::metrics};
const Identity kNothing{.who = Who::client, .restricted = true};
const Identity kDefault{.who = Who::client, .restricted = true, .projects = {"default"}};

TEST(AuthoriseTest, EachKindOfClientMayWhatTheTableSays) {
    struct Row {
        Access access;
        std::string who;  ///< of "nobody, metrics, nothing, default, full, local", by first letters
    };
    const Row rows[] = {{Access::anyone, "nmodfl"}, {Access::authenticated, "odfl"},
                        {Access::can_view, "dfl"},  {Access::can_edit, "dfl"},
                        {Access::metrics, "mdfl"},  {Access::admin, "fl"},
                        {Access::local, "l"}};
    const std::pair<char, const Identity*> all[] = {{'n', &kNobody},  {'m', &kMetrics}, {'o', &kNothing},
                                                    {'d', &kDefault}, {'f', &kFull},    {'l', &kLocal}};
    for (const auto& row : rows) {
        for (const auto& [letter, identity] : all) {
            EXPECT_EQ(may(row.access, *identity, "default"), row.who.contains(letter))
                << int(row.access) << ' ' << letter;
        }
    }
}

TEST(AuthoriseTest, ARestrictedClientHasNothingElsewhere) {
    EXPECT_FALSE(may(Access::can_view, kDefault, "other"));
    EXPECT_FALSE(may(Access::metrics, kDefault, "other"));
    Identity metrics = kMetrics;
    metrics.restricted = true;
    metrics.projects = {"web"};
    EXPECT_TRUE(may(Access::metrics, metrics, "web"));
    EXPECT_FALSE(may(Access::metrics, metrics, "default"));
}

TEST(AuthoriseTest, OnlyWhatIsMeantToBeIsOpenToAnyone) {
    std::vector<std::string> open;
    for (const auto table : all_routes()) {
        for (const auto& route : table) {
            if (route.access == Access::anyone) open.emplace_back(route.pattern);
        }
    }
    std::ranges::sort(open);
    const std::vector<std::string> wanted{"/",
                                          "/1.0",
                                          "/1.0/certificates",
                                          "/1.0/images",
                                          "/1.0/images/aliases",
                                          "/1.0/images/aliases/{name...}",
                                          "/1.0/images/{fingerprint}",
                                          "/1.0/images/{fingerprint}/export",
                                          "/1.0/operations/{id}/wait",
                                          "/1.0/operations/{id}/websocket"};
    EXPECT_EQ(open, wanted);
}

Request from(std::initializer_list<std::pair<std::string, std::string>> headers) {
    Request request;
    request.headers = headers;
    return request;
}

TEST(AuthoriseTest, OtherSitesAreRefused) {
    EXPECT_TRUE(refuse_other_sites(from({})));
    EXPECT_TRUE(refuse_other_sites(from({{"sec-fetch-site", "none"}})));
    EXPECT_TRUE(refuse_other_sites(from({{"origin", "https://Host:8443"}, {"host", "host:8443"}})));
    EXPECT_FALSE(refuse_other_sites(from({{"origin", "https://host"}, {"host", "host:8443"}})));
    EXPECT_FALSE(refuse_other_sites(from({{"origin", "null"}, {"host", "host"}})));
    EXPECT_FALSE(refuse_other_sites(from({{"sec-fetch-site", "cross-site"}})));
    EXPECT_FALSE(refuse_other_sites(from({{"sec-fetch-site", "same-site"}})));
}

}  // namespace
}  // namespace lxmgr::rest
