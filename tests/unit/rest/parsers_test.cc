#include <gtest/gtest.h>

#include <random>
#include <stdexcept>

#include "lxd-daemon/api/multipart.h"
#include "lxd-daemon/rest/control_message.h"
#include "lxd-daemon/rest/router.h"
#include "lxd-daemon/rest/target.h"

namespace lxmgr::rest {
namespace {

TEST(TargetTest, SplitsBeforeItDecodes) {
    const auto target = parse_target("/1.0/images/aliases/debian%2F12?a=1%262&a=3&b&=c");
    ASSERT_TRUE(target.has_value());
    EXPECT_EQ(target->segments, (std::vector<std::string>{"1.0", "images", "aliases", "debian/12"}));
    EXPECT_EQ(target->query.at("a"), "1&2");
    EXPECT_EQ(target->query.at("b"), "");
    EXPECT_TRUE(parse_target("/")->segments.empty());
    EXPECT_EQ(parse_target("/1.0/")->segments.size(), 1U);
    EXPECT_EQ(parse_target("http://unix.socket/1.0?x=y")->query.at("x"), "y");
    EXPECT_TRUE(parse_target("http://unix.socket")->segments.empty());
}

TEST(TargetTest, RefusesWhatIsNotOne) {
    for (const char* text :
         {"", "*", "1.0", "/a//b", "/%", "/%4", "/%zz", "/a%00b", "/a%0ab", "/?a=%00", "/?a=%", "/a/%2"}) {
        EXPECT_FALSE(parse_target(text).has_value()) << text;
    }
    EXPECT_EQ(*percent_decode("%41%42", false), "AB");
    EXPECT_EQ(*percent_decode("a%20", false), "a ");
}

TEST(TargetTest, SurvivesRandomBytes) {
    std::mt19937 random(3);
    for (int round = 0; round < 20000; ++round) {
        std::string text = "/";
        for (auto i = random() % 30; i > 0; --i)
            text += static_cast<char>(random() % 4 == 0 ? "%/?&=+#"[random() % 7] : random() % 256);
        (void)parse_target(text);
    }
}

Handled nothing(const Request&, Services&) { co_return Response::empty(); }
constexpr Route kRoutes[] = {
    {Verb::get, "/", Access::anyone, nothing},
    {Verb::get, "/1.0/instances/{name}/logs/{file}", Access::anyone, nothing},
    {Verb::get, "/1.0/instances/{name}/logs/exec-output", Access::anyone, nothing},
    {Verb::del, "/1.0/instances/{instance}/logs/exec-output/{file}", Access::anyone, nothing},
};

TEST(RouterTest, LiteralSegmentsWinOverNames) {
    const std::vector<std::span<const Route>> tables{kRoutes};
    const Router router(tables);
    EXPECT_EQ(router.find(Verb::get, {}).route, &kRoutes[0]);
    const auto file = router.find(Verb::get, {"1.0", "instances", "x", "logs", "lxc.log"});
    EXPECT_EQ(file.route, &kRoutes[1]);
    EXPECT_EQ(file.args, (std::map<std::string, std::string>{{"name", "x"}, {"file", "lxc.log"}}));
    EXPECT_EQ(router.find(Verb::head, {"1.0", "instances", "x", "logs", "exec-output"}).route, &kRoutes[2]);
    EXPECT_EQ(
        router.find(Verb::del, {"1.0", "instances", "x", "logs", "exec-output", "f"}).args.at("instance"),
        "x");
    EXPECT_TRUE(router.find(Verb::put, {}).path_known);
    EXPECT_EQ(router.find(Verb::put, {}).route, nullptr);
    EXPECT_FALSE(router.find(Verb::get, {"1.0", "instances"}).path_known);
    EXPECT_FALSE(router.find(Verb::get, {"2.0"}).path_known);
}

TEST(RouterTest, TwoRoutesOfOnePathAreABug) {
    const std::vector<std::span<const Route>> tables{kRoutes, kRoutes};
    EXPECT_THROW(const Router router(tables), std::logic_error);
}

struct Parts {
    std::vector<std::pair<std::string, std::string>> parts;  ///< "name/filename", content
    bool ok = true;
};
Parts parse(const std::string& body, std::size_t step) {
    Parts out;
    api::MultipartParser parser("XX", {.begin = [&](std::string name, std::string file) -> Result<> {
                                           out.parts.emplace_back(name + "/" + file, "");
                                           return {};
                                       },
                                       .data = [&](std::string_view bytes) -> Result<> {
                                           out.parts.back().second += bytes;
                                           return {};
                                       },
                                       .end = [] { return Result<>{}; }});
    for (std::size_t at = 0; at < body.size() && out.ok; at += step) {
        out.ok = parser.feed(std::string_view(body).substr(at, step)).has_value();
    }
    out.ok = out.ok && parser.finish().has_value();
    return out;
}

TEST(MultipartTest, IsTheSameHoweverItIsCut) {
    const std::string body =
        "preamble\r\n--XX\r\nContent-Disposition: form-data; name=\"metadata\"; "
        "filename=\"m;\\\"x.tar\"\r\nX: y\r\n\r\n"
        "one\r\n--XY\r\n-\r\n--XX\r\ncontent-disposition:form-data;name=rootfs\r\n\r\n\r\n--"
        "XX\r\n\r\nlast\r\n--XX--\r\nepilogue";
    for (std::size_t step = 1; step <= body.size(); ++step) {
        const auto out = parse(body, step);
        ASSERT_TRUE(out.ok) << step;
        ASSERT_EQ(out.parts.size(), 3U) << step;
        EXPECT_EQ(out.parts[0],
                  (std::pair<std::string, std::string>("metadata/m;\"x.tar", "one\r\n--XY\r\n-")));
        EXPECT_EQ(out.parts[1], (std::pair<std::string, std::string>("rootfs/", "")));
        EXPECT_EQ(out.parts[2], (std::pair<std::string, std::string>("/", "last")));
    }
}

TEST(MultipartTest, RefusesWhatIsNotWhole) {
    for (const auto& body :
         {std::string(""), std::string("--XX"), std::string("--XX\r\n\r\nabc"), std::string("--XXjunk\r\n"),
          "--XX\r\n" + std::string(20000, 'h'), std::string("no delimiter at all")}) {
        EXPECT_FALSE(parse(body, 1000).ok) << body.substr(0, 30);
    }
    std::string many;
    for (int i = 0; i < 20; ++i) many += "--XX\r\n\r\nx\r\n";
    EXPECT_FALSE(parse(many + "--XX--", 1000).ok);
    EXPECT_FALSE(api::multipart_boundary("multipart/form-data").has_value());
    EXPECT_FALSE(
        api::multipart_boundary("multipart/form-data; boundary=" + std::string(71, 'x')).has_value());
    EXPECT_EQ(*api::multipart_boundary("multipart/form-data; charset=x; Boundary=\"a b\""), "a b");
}

TEST(MultipartTest, SurvivesRandomChanges) {
    const std::string body =
        "--XX\r\nContent-Disposition: form-data; name=\"metadata\"; "
        "filename=\"m\"\r\n\r\none\r\n--XX\r\n\r\ntwo\r\n--XX--";
    std::mt19937 random(11);
    for (int round = 0; round < 20000; ++round) {
        std::string text = body;
        for (auto i = random() % 6; i > 0; --i)
            text[random() % text.size()] = "\r\n-X\";= \0a"[random() % 10];
        if (random() % 4 == 0) text.resize(random() % text.size());
        (void)parse(text, 1 + random() % 40);
    }
}

TEST(ControlMessageTest, TakesWhatClientsSend) {
    auto message = parse_control_message(
        R"({"command":"window-resize","args":{"width":"120","height":"40"},"signal":0})");
    ASSERT_TRUE(message.has_value());
    EXPECT_EQ(message->width, 120);
    EXPECT_EQ(message->height, 40);
    message = parse_control_message(R"({"command":"signal","args":null,"signal":10})");
    ASSERT_TRUE(message.has_value());
    EXPECT_EQ(message->kind, ControlMessage::Kind::signal);
    EXPECT_EQ(message->signal, 10);
}

TEST(ControlMessageTest, RefusesTheRest) {
    for (const char* text :
         {"", "[]", "1", "{}", R"({"command":1})", R"({"command":"window-resize"})",
          R"({"command":"signal"})", R"({"command":"window-resize","args":{"width":"-1","height":"40"}})",
          R"({"command":"window-resize","args":{"width":"99999","height":"40"}})",
          R"({"command":"window-resize","args":{"width":[],"height":{}}})",
          R"({"command":"signal","signal":0})", R"({"command":"signal","signal":65})",
          R"({"command":"signal","signal":"9"})", R"({"command":"signal","signal":1e99})"}) {
        EXPECT_FALSE(parse_control_message(text).has_value()) << text;
    }
}

}  // namespace
}  // namespace lxmgr::rest
