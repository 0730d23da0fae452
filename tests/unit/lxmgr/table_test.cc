#include "lxmgr/table.h"

#include <gtest/gtest.h>

#include <nlohmann/json.hpp>

#include "lxmgr/terminal.h"
#include "lxmgr/text_width.h"

namespace lxmgr::cli {
namespace {

TEST(DisplayWidthTest, CountsColumnsByUnicode) {
    EXPECT_EQ(display_width("abc"), 3U);
    EXPECT_EQ(display_width("äöü"), 3U);
    EXPECT_EQ(display_width("日本"), 4U);
    EXPECT_EQ(display_width("🚀"), 2U);
    EXPECT_EQ(display_width("e\u0301"), 1U);
    EXPECT_EQ(display_width("\xff\xfe"), 2U);
    EXPECT_EQ(display_width("\xe6\x97"), 2U);  // a cut-off character
}

TEST(TruncateWidthTest, NeverCutsACharacterInTwo) {
    EXPECT_EQ(truncate_width("abcdef", 6), "abcdef");
    EXPECT_EQ(truncate_width("abcdef", 4), "abc…");
    EXPECT_EQ(truncate_width("日本語", 4), "日…");
    EXPECT_EQ(truncate_width("abc", 0), "");
}

TEST(RenderTableTest, AlignsWideAndMultilineCells) {
    const Table table{{"NAME", "IPV4"}, {{"日本", "10.0.0.1\n10.0.0.2"}, {"a", ""}}};
    EXPECT_EQ(render_table(table),
              "+------+----------+\n"
              "| NAME | IPV4     |\n"
              "+------+----------+\n"
              "| 日本 | 10.0.0.1 |\n"
              "|      | 10.0.0.2 |\n"
              "+------+----------+\n"
              "| a    |          |\n"
              "+------+----------+\n");
}

TEST(RenderTableTest, MakesEscapeSequencesHarmless) {
    const Table table{{"D"}, {{"\x1b[31mred\x07"}}};
    EXPECT_EQ(render_table(table).find('\x1b'), std::string::npos);
    EXPECT_EQ(printable("\xc2\x9b"
                        "31m"),
              "?31m");  // CSI as a C1 control character
    EXPECT_EQ(printable("\xff"
                        "a"),
              "?a");
}

TEST(RenderTableTest, ShowsTheHeaderWhenThereIsNothing) {
    EXPECT_EQ(render_table({{"A"}, {}}), "+---+\n| A |\n+---+\n");
}

TEST(RenderCompactTest, LeavesNoBlanksAtLineEnds) {
    EXPECT_EQ(render_compact({{"NAME", "X"}, {{"a", ""}}}), "NAME  X\na\n");
}

TEST(RenderCsvTest, QuotesAsRfc4180) {
    const Table table{{"A", "B"}, {{"plain", "a,b"}, {"say \"hi\"", "two\nlines"}, {"", ""}}};
    EXPECT_EQ(render_csv(table), "plain,\"a,b\"\n\"say \"\"hi\"\"\",\"two\nlines\"\n,\n");
}

TEST(FormatOfTest, KnowsEveryFormat) {
    EXPECT_EQ(format_of("csv"), Format::csv);
    EXPECT_EQ(format_of("json"), Format::json);
    EXPECT_EQ(format_of("yaml"), Format::yaml);
    EXPECT_EQ(format_of("compact"), Format::compact);
    EXPECT_EQ(format_of("table"), Format::table);
}

}  // namespace
}  // namespace lxmgr::cli
