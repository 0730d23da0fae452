#include "lxmgr/parse.h"

#include <gmock/gmock.h>

#include <algorithm>
#include <filesystem>
#include <fstream>
#include <set>
#include <sstream>

#include "lxd-daemon/base/strings.h"
#include "lxmgr/complete.h"

namespace lxmgr::cli {
namespace {

using ::testing::Contains;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::IsEmpty;
using ::testing::Not;
using Words = std::vector<std::string>;

Invocation invocation(const Words& words) {
    auto parsed = parse(words);
    if (const auto* message = std::get_if<Message>(&parsed)) {
        ADD_FAILURE() << message->text;
        return {};
    }
    return std::get<Invocation>(std::move(parsed));
}

Message message(const Words& words) {
    auto parsed = parse(words);
    if (std::holds_alternative<Invocation>(parsed)) {
        ADD_FAILURE() << "was accepted";
        return {};
    }
    return std::get<Message>(parsed);
}

TEST(ParseTest, FindsCommandOptionsAndOperands) {
    const auto found = invocation({"launch", "debian/12", "dev", "-c", "a=1", "--config=b=2", "-e"});
    EXPECT_STREQ(found.command->path, "launch");
    EXPECT_EQ(found.args.text("IMAGE"), "debian/12");
    EXPECT_EQ(found.args.text("NAME"), "dev");
    EXPECT_THAT(found.args.list("config"), ElementsAre("a=1", "b=2"));
    EXPECT_TRUE(found.args.flag("ephemeral"));
    EXPECT_FALSE(found.args.flag("no-profiles"));
}

TEST(ParseTest, OptionsMayStandBetweenOperands) {
    const auto found = invocation({"launch", "-p", "web", "debian/12", "-p", "db", "dev"});
    EXPECT_THAT(found.args.list("profile"), ElementsAre("web", "db"));
    EXPECT_EQ(found.args.text("NAME"), "dev");
}

TEST(ParseTest, LastOperandIsKeptForTheTarget) {
    const auto found = invocation({"file", "push", "a", "b", "dev/tmp/"});
    EXPECT_THAT(found.args.list("SOURCE"), ElementsAre("a", "b"));
    EXPECT_EQ(found.args.text("TARGET"), "dev/tmp/");
    EXPECT_THAT(message({"file", "push", "a"}).text, HasSubstr("TARGET is missing"));
}

TEST(ParseTest, CommandOfExecIsKeptWordForWord) {
    for (const Words& words :
         std::vector<Words>{{"exec", "dev", "ls", "-la", "--env"},
                            {"exec", "dev", "--", "ls", "-la", "--env"},
                            {"exec", "--cwd", "/tmp", "dev", "ls", "-la", "--env"},
                            {"-q", "exec", "dev", "--cwd", "/tmp", "--", "ls", "-la", "--env"}}) {
        const auto found = invocation(words);
        EXPECT_EQ(found.args.text("INSTANCE"), "dev");
        EXPECT_THAT(found.args.list("COMMAND"), ElementsAre("ls", "-la", "--env"));
    }
    EXPECT_THAT(invocation({"exec", "dev", "--", "a", "--", "b"}).args.list("COMMAND"),
                ElementsAre("a", "--", "b"));
    EXPECT_THAT(invocation({"exec", "dev"}).args.list("COMMAND"), IsEmpty());
}

TEST(ParseTest, PresetsAndAliases) {
    const auto found = invocation({"ls"});
    EXPECT_STREQ(found.command->path, "list");
    EXPECT_EQ(found.args.text("format"), "table");
    EXPECT_TRUE(invocation({"list", "-q"}).global.quiet);
    EXPECT_EQ(invocation({"list", "-f", "json", "-f", "csv"}).args.text("format"), "csv");
}

TEST(ParseTest, MistakesAreStatusTwo) {
    for (const Words& words : std::vector<Words>{{},
                                                 {"nope"},
                                                 {"file"},
                                                 {"file", "nope"},
                                                 {"list", "-f", "xml"},
                                                 {"list", "--nope"},
                                                 {"rename", "a"},
                                                 {"rename", "a", "b", "c"},
                                                 {"launch"},
                                                 {"exec"},
                                                 {"stop", "--timeout"}}) {
        EXPECT_EQ(message(words).exit_status, 2) << (words.empty() ? "" : words.back());
    }
    EXPECT_THAT(message({"nope"}).text, HasSubstr("There is no command 'nope'"));
    EXPECT_THAT(message({"rename", "a", "b", "c"}).text, HasSubstr("'c' is one word too many"));
}

TEST(ParseTest, HelpIsNoMistakeAndHasExamples) {
    const auto help = message({"launch", "--help"});
    EXPECT_EQ(help.exit_status, 0);
    EXPECT_THAT(help.text, HasSubstr("lxmgr launch [OPTIONS] IMAGE [NAME]"));
    EXPECT_THAT(help.text, HasSubstr("Examples:"));
    EXPECT_EQ(message({"--version"}).exit_status, 0);
}

TEST(CommandTableTest, RowsAreComplete) {
    std::set<std::string> paths;
    for (const Command* command : all_commands()) {
        EXPECT_TRUE(paths.insert(command->path).second) << command->path;
        EXPECT_NE(command->run, nullptr) << command->path;
        EXPECT_NE(*command->summary, '\0') << command->path;
        if (!command->hidden) {
            EXPECT_NE(*command->examples, '\0') << command->path;
        }
    }
}

TEST(CommandTableTest, ExamplesParse) {
    for (const Command* command : all_commands()) {
        for (const auto& line : split(command->examples, '\n')) {
            if (line.empty()) continue;
            Words words = split(line.substr(0, std::min(line.find(" < "), line.find(" > "))), ' ');
            if (line.contains('"') || line.contains('\'')) continue;  // would need a shell's quoting
            auto parsed = parse(words);
            const auto* found = std::get_if<Invocation>(&parsed);
            ASSERT_NE(found, nullptr) << line << "\n" << std::get<Message>(parsed).text;
            EXPECT_STREQ(found->command->path, command->path) << line;
        }
    }
}

Words complete(const Words& words) {
    return candidates(words, [](Kind kind) -> Words {
        if (kind == Kind::instance || kind == Kind::instance_file) return {"dev", "db", "web"};
        if (kind == Kind::profile) return {"default", "small"};
        return {};
    });
}

TEST(CompleteTest, OffersCommandsOptionsAndNames) {
    EXPECT_THAT(complete({"la"}), ElementsAre("launch"));
    EXPECT_THAT(complete({"config", "device", "a"}), ElementsAre("add"));
    EXPECT_THAT(complete({""}), Not(Contains("__complete")));
    EXPECT_THAT(complete({"stop", "d"}), ElementsAre("dev", "db"));
    EXPECT_THAT(complete({"stop", "dev", "w"}), ElementsAre("web"));
    EXPECT_THAT(complete({"list", "-f", "c"}), ElementsAre("compact", "csv"));
    EXPECT_THAT(complete({"list", "--col"}), ElementsAre("--columns"));
    EXPECT_THAT(complete({"launch", "x", "y", "-p", "s"}), ElementsAre("small"));
    EXPECT_THAT(complete({"file", "pull", "de"}), ElementsAre("dev/"));
    EXPECT_THAT(complete({"exec", "dev", "--", "d"}), IsEmpty());
    EXPECT_THAT(complete({"rename", "dev", ""}), IsEmpty());
    EXPECT_THAT(complete({}), IsEmpty());
}

TEST(ReferenceTest, IsTheCommittedOne) {
    const std::filesystem::path path = "docs/reference/cli.md";  // ctest runs in the source tree
    std::ifstream file(path);
    ASSERT_TRUE(file) << path;
    std::ostringstream text;
    text << file.rdbuf();
    EXPECT_EQ(text.str(), markdown_reference()) << "run: lxmgr __reference > docs/reference/cli.md";
}

}  // namespace
}  // namespace lxmgr::cli
