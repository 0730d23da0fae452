#include "images/template.h"

#include <gtest/gtest.h>

namespace lxmgr::images {
namespace {

const api::ConfigMap kConfig{{"user.user-data", "#cloud-config\n"}, {"user.empty", ""}};

TemplateInput input() {
    TemplateInput out;
    out.variables = {{"trigger", "create"},
                     {"instance", {{"name", "c1"}, {"privileged", "false"}}},
                     {"properties", {{"default", "dflt"}}},
                     {"devices", {{"eth0", {{"type", "nic"}}}, {"root", {{"type", "disk"}}}}},
                     {"list", {"a", "b"}},
                     {"n", 3}};
    out.variables["container"] = out.variables["instance"];
    out.config = &kConfig;
    return out;
}

std::string render(std::string_view text) {
    const auto out = render_template(text, input());
    return out ? *out : "error: " + out.error().message;
}

TEST(Template, LxdsOwnKind) {
    EXPECT_EQ(render("{{ container.name }}\n"), "c1\n");
    EXPECT_EQ(render("{{ config_get(\"user.user-data\", properties.default) }}"), "#cloud-config\n");
    EXPECT_EQ(render("{{ config_get(\"user.none\", properties.default) }}"), "dflt");
    EXPECT_EQ(
        render(
            "{% if config_get(\"user.network-config\", \"\") == \"\" %}version: 1\n{% else %}x{% endif %}"),
        "version: 1\n");
    EXPECT_EQ(render("127.0.1.1\t{{ instance.name|upper }}"), "127.0.1.1\tC1");
}

TEST(Template, Conditions) {
    EXPECT_EQ(render("{% if 0 %}a{% elif trigger == 'create' %}b{% else %}c{% endif %}"), "b");
    EXPECT_EQ(render("{% if not nothing and (n > 2 or x) %}y{% endif %}"), "y");
    EXPECT_EQ(render("{% if 'a' in list %}1{% endif %}{% if 'z' not in list %}2{% endif %}"), "12");
    EXPECT_EQ(render("{% if trigger != \"create\" %}a{% endif %}"), "");
    EXPECT_EQ(render("{% if false %}{% if true %}x{% endif %}{% else %}z{% endif %}"), "z");
    EXPECT_EQ(render("{% if false %}{{ unknown() }}{% endif %}ok"), "ok");
}

TEST(Template, Loops) {
    EXPECT_EQ(render("{% for x in list %}{{ forloop.Counter }}{{ x }}{% if not forloop.Last %},{% endif %}{% "
                     "endfor %}"),
              "1a,2b");
    EXPECT_EQ(render("{% for name, device in devices %}{{ name }}={{ device.type }} {% endfor %}"),
              "eth0=nic root=disk ");
    EXPECT_EQ(render("{% for x in nothing %}x{% empty %}none{% endfor %}."), "none.");
    EXPECT_EQ(render("{% for x in list %}{{ x }}{% empty %}none{% endfor %}."), "ab.");
}

TEST(Template, FiltersAndArithmetic) {
    EXPECT_EQ(render("{{ nothing|default:\"d\" }}{{ instance.name|default:\"d\" }}"), "dc1");
    EXPECT_EQ(
        render(
            "{{ list|join:\"-\" }} {{ list|length }} {{ 'a:b'|split:':'|last }} {{ n * 2 + 1 }} {{ 7 / 2 }}"),
        "a-b 2 b 7 3");
    EXPECT_EQ(render("{{ ' x '|trim }}{{ 'x' + n }}"), "xx3");
}

TEST(Template, SetWithCommentsAndTrimming) {
    EXPECT_EQ(render("{% set a = \"v\" %}{{ a }}{# {{ nope( }} #}"), "v");
    EXPECT_EQ(render("{% with b=n c='x' %}{{ b }}{{ c }}{% endwith %}{{ b }}"), "3x");
    EXPECT_EQ(render("a {{- n -}} b"), "a3b");
    EXPECT_EQ(render("{% comment %}{{ x }}{% endcomment %}{% autoescape off %}<&>{% endautoescape %}"),
              "<&>");
    EXPECT_EQ(render("{ { } } % {"), "{ { } } % {");
    EXPECT_EQ(render("{{ \"}}\" }}"), "}}");
}

TEST(Template, ErrorsNameTheLine) {
    EXPECT_EQ(render("a\n{{ x"), "error: line 2: '{{' is not closed");
    EXPECT_EQ(render("\n\n{% include \"/etc/shadow\" %}"),
              "error: line 3: the tag 'include' is not known; a template reaches no other file");
    EXPECT_EQ(render("{% if 1 %}x"), "error: line 1: the tag is not closed by 'endif'");
    EXPECT_EQ(render("{% endif %}"),
              "error: line 1: the tag 'endif' is not known; a template reaches no other file");
    EXPECT_EQ(render("{{ x|nofilter }}"), "error: line 1: there is no filter 'nofilter'");
    EXPECT_EQ(render("{{ 1 2 }}"), "error: line 1: '2' was not expected");
    EXPECT_EQ(render("{{ 1 / 0 }}"), "error: line 1: division by zero");
    EXPECT_EQ(render("{{ }}"), "error: line 1: a value is missing");
}

TEST(Template, WorkIsBounded) {
    std::string nested, deep = "{{ ";
    for (int i = 0; i < 10; ++i) nested += "{% for a in many %}";
    nested += "x";
    for (int i = 0; i < 10; ++i) nested += "{% endfor %}";
    auto big = input();
    big.variables["many"] = nlohmann::json(std::vector<int>(1000, 1));
    const auto out = render_template(nested, big);
    ASSERT_FALSE(out);
    EXPECT_EQ(out.error().message, "line 1: the template does too much");
    for (int i = 0; i < 10'000; ++i) deep += "(";
    EXPECT_EQ(render(deep + " }}"), "error: line 1: the expression is nested too deeply");
    std::string tags;
    for (int i = 0; i < 10'000; ++i) tags += "{% if 1 %}";
    EXPECT_EQ(render(tags), "error: line 1: tags are nested too deeply");
    EXPECT_FALSE(render_template("{% for a in many %}{{ many }}{% endfor %}", big));
}

}  // namespace
}  // namespace lxmgr::images
