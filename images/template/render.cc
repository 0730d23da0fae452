#include <fmt/format.h>

#include <algorithm>

#include "images/template.h"
#include "images/template/expression.h"
#include "images/template/lexer.h"

namespace lxmgr::images {
namespace {

using namespace tpl;

constexpr std::size_t kMaxTemplate = std::size_t{1} << 20;
constexpr std::size_t kMaxOutput = std::size_t{1} << 20;
constexpr int kMaxSteps = 20'000;  ///< tags and texts visited, loops included
constexpr int kMaxNesting = 50;

/// Walks the chunks in order; a loop walks its body again.
class Renderer {
public:
    Renderer(std::vector<Chunk> chunks, const TemplateInput& input)
        : chunks_(std::move(chunks)), scope_{input, {{}}} {}

    Result<std::string> render() {
        LX_TRY(block(true, {}));
        if (at_ < chunks_.size()) return bad_template(chunks_[at_].line, "this tag has no beginning");
        return std::move(out_);
    }

private:
    using Names = std::initializer_list<std::string_view>;

    /// Renders (or only passes over) up to a tag of `ends`, or to the end of the template when there are
    /// none. The end tag itself is left in tokens_, with at_ behind it.
    Result<> block(bool live, Names ends);
    Result<> tag(bool live, int line);
    Result<> if_tag(bool live, int line);
    Result<> for_tag(bool live, int line);
    Result<> set_tag(bool live, int line);
    Result<> with_tag(bool live, int line);
    Result<> body_of_loop(const Value& items, const std::vector<std::string>& names, std::size_t body);
    Result<Value> value_from(std::size_t first, int line);
    Result<> write(std::string_view text, int line);

    std::vector<Chunk> chunks_;
    Scope scope_;
    std::size_t at_ = 0;
    std::vector<Token> tokens_;  ///< of the tag last read
    std::string out_;
    int steps_ = 0;
    int nesting_ = 0;
};

Result<> Renderer::write(std::string_view text, int line) {
    if (out_.size() + text.size() > kMaxOutput) return bad_template(line, "the output is larger than 1 MiB");
    out_ += text;
    return {};
}

Result<Value> Renderer::value_from(std::size_t first, int line) {
    Expression expression(tokens_, first, line, scope_);
    LX_TRY_AS(Value value, expression.evaluate());
    LX_TRY(expression.expect_end());
    return value;
}

Result<> Renderer::block(bool live, Names ends) {
    if (++nesting_ > kMaxNesting) return bad_template(chunks_[at_ - 1].line, "tags are nested too deeply");
    const int opened = at_ > 0 ? chunks_[at_ - 1].line : 1;
    while (at_ < chunks_.size()) {
        const Chunk chunk = chunks_[at_];
        if (++steps_ > kMaxSteps) return bad_template(chunk.line, "the template does too much");
        if (chunk.kind == Chunk::Kind::text) {
            ++at_;
            if (live) LX_TRY(write(chunk.content, chunk.line));
            continue;
        }
        LX_TRY_AS(tokens_, tokens_of(chunk));
        if (chunk.kind == Chunk::Kind::output) {
            ++at_;
            if (!live) continue;
            LX_TRY_AS(const Value value, value_from(0, chunk.line));
            LX_TRY(write(text_of(value), chunk.line));
            continue;
        }
        ++at_;
        if (std::ranges::find(ends, tokens_[0].text) != ends.end()) {
            --nesting_;
            return {};
        }
        LX_TRY(tag(live, chunk.line));
    }
    --nesting_;
    if (ends.size() == 0) return {};
    return bad_template(opened, fmt::format("the tag is not closed by '{}'", *(ends.end() - 1)));
}

Result<> Renderer::tag(bool live, int line) {
    const std::string name = tokens_[0].text;
    if (name == "if") return if_tag(live, line);
    if (name == "for") return for_tag(live, line);
    if (name == "set") return set_tag(live, line);
    if (name == "with") return with_tag(live, line);
    if (name == "comment") return block(false, {"endcomment"});
    if (name == "autoescape") {
        if (tokens_.size() < 2 || tokens_[1].text != "off")
            return bad_template(line, "nothing is escaped here: only 'autoescape off' is known");
        return block(live, {"endautoescape"});
    }
    return bad_template(line,
                        fmt::format("the tag '{}' is not known; a template reaches no other file", name));
}

Result<> Renderer::if_tag(bool live, int line) {
    bool done = !live;
    LX_TRY_AS(Value condition, done ? Result<Value>(Value(false)) : value_from(1, line));
    for (;;) {
        const bool chosen = !done && is_true(condition);
        done = done || chosen;
        LX_TRY(block(chosen, {"elif", "else", "endif"}));
        if (tokens_[0].text == "endif") return {};
        const int at_line = chunks_[at_ - 1].line;
        if (tokens_[0].text == "else") {
            LX_TRY(block(!done, {"endif"}));
            return {};
        }
        if (!done) {
            LX_TRY_AS(condition, value_from(1, at_line));
        }
    }
}

Result<> Renderer::for_tag(bool live, int line) {
    std::vector<std::string> names;
    std::size_t next = 1;
    while (next < tokens_.size() && tokens_[next].kind == Token::Kind::word && tokens_[next].text != "in") {
        names.push_back(tokens_[next++].text);
        if (tokens_[next].text != ",") break;
        ++next;
    }
    if (names.empty() || names.size() > 2 || tokens_[next].text != "in")
        return bad_template(line, "a loop is written 'for NAME in VALUE' or 'for KEY, VALUE in MAP'");
    LX_TRY_AS(const Value items, live ? value_from(next + 1, line) : Result<Value>(Value()));
    const std::size_t body = at_;
    if (live && is_true(items) && items.is_structured()) {
        LX_TRY(body_of_loop(items, names, body));
        if (tokens_[0].text == "empty") return block(false, {"endfor"});
        return {};
    }
    LX_TRY(block(false, {"empty", "endfor"}));
    if (tokens_[0].text == "empty") return block(live, {"endfor"});
    return {};
}

Result<> Renderer::body_of_loop(const Value& items, const std::vector<std::string>& names, std::size_t body) {
    std::size_t number = 0;
    for (const auto& [key, item] : items.items()) {
        at_ = body;
        std::map<std::string, Value> frame;
        const bool keyed = items.is_object();
        frame[names[0]] = keyed ? Value(key) : item;
        if (names.size() == 2) frame[names[1]] = item;
        ++number;
        frame["forloop"] = {{"Counter", number},
                            {"Counter0", number - 1},
                            {"First", number == 1},
                            {"Last", number == items.size()}};
        scope_.locals.push_back(std::move(frame));
        auto done = block(true, {"empty", "endfor"});
        scope_.locals.pop_back();
        LX_TRY(std::move(done));
    }
    return {};
}

Result<> Renderer::set_tag(bool live, int line) {
    if (tokens_.size() < 4 || tokens_[1].kind != Token::Kind::word || tokens_[2].text != "=")
        return bad_template(line, "it is written 'set NAME = VALUE'");
    if (!live) return {};
    const std::string name = tokens_[1].text;
    LX_TRY_AS(scope_.locals.back()[name], value_from(3, line));
    return {};
}

Result<> Renderer::with_tag(bool live, int line) {
    std::map<std::string, Value> frame;
    std::size_t next = 1;
    while (live && tokens_[next].kind == Token::Kind::word) {
        const std::string name = tokens_[next].text;
        if (tokens_[next + 1].text != "=") return bad_template(line, "it is written 'with NAME=VALUE'");
        Expression expression(tokens_, next + 2, line, scope_);
        LX_TRY_AS(frame[name], expression.evaluate());
        next = expression.position();
    }
    scope_.locals.push_back(std::move(frame));
    auto done = block(live, {"endwith"});
    scope_.locals.pop_back();
    return done;
}

}  // namespace

Result<std::string> render_template(std::string_view text, const TemplateInput& input) {
    if (text.size() > kMaxTemplate) return fail(Status::bad_request, "the template is larger than 1 MiB");
    LX_TRY_AS(auto chunks, split_template(text));
    return Renderer(std::move(chunks), input).render();
}

}  // namespace lxmgr::images
