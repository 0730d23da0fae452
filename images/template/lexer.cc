#include "images/template/lexer.h"

#include <fmt/format.h>

#include <algorithm>
#include <array>

namespace lxmgr::images::tpl {
namespace {

bool is_letter(char c) { return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || c == '_'; }
bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_space(char c) { return c == ' ' || c == '\t' || c == '\n' || c == '\r'; }

/// Where the tag that starts at `from` ends; quotes hide its closing braces.
std::size_t find_close(std::string_view text, std::size_t from, std::string_view close) {
    char quote = 0;
    for (std::size_t i = from; i + 1 < text.size(); ++i) {
        if (quote != 0) {
            if (text[i] == '\\') {
                ++i;
            } else if (text[i] == quote) {
                quote = 0;
            }
        } else if (text.substr(i, 2) == close) {
            return i;
        } else if (text[i] == '"' || text[i] == '\'') {
            quote = text[i];
        }
    }
    return std::string_view::npos;
}

/// A string literal from its opening quote on. @return the length read
Result<std::size_t> read_string(std::string_view from, int line, Token& token) {
    token.kind = Token::Kind::string;
    for (std::size_t i = 1; i < from.size(); ++i) {
        if (from[i] == from[0]) return i + 1;
        if (from[i] == '\\' && i + 1 < from.size()) {
            const char escaped = from[++i];
            token.text += escaped == 'n' ? '\n' : escaped == 't' ? '\t' : escaped;
        } else {
            token.text += from[i];
        }
    }
    return bad_template(line, "a quote is not closed");
}

std::size_t read_while(std::string_view from, bool (*belongs)(char)) {
    const auto end = std::ranges::find_if_not(from, belongs);
    return static_cast<std::size_t>(end - from.begin());
}

constexpr std::array<std::string_view, 7> kLongSigns{"==", "!=", "<=", ">=", "&&", "||", "<>"};
constexpr std::string_view kSigns = "<>+-*/%()[].,|:=!";

}  // namespace

std::unexpected<Error> bad_template(int line, std::string_view why) {
    return fail(Status::bad_request, fmt::format("line {}: {}", line, why));
}

Result<std::vector<Chunk>> split_template(std::string_view text) {
    std::vector<Chunk> out;
    int line = 1;
    const auto count_lines = [&](std::string_view part) {
        line += static_cast<int>(std::ranges::count(part, '\n'));
    };
    bool trim_next = false;
    std::size_t at = 0;
    while (at < text.size()) {
        std::size_t open = at;
        while (open + 1 < text.size() &&
               !(text[open] == '{' && std::string_view("{%#").contains(text[open + 1]))) {
            ++open;
        }
        const bool found = open + 1 < text.size();
        std::string_view plain = text.substr(at, found ? open - at : std::string_view::npos);
        const int plain_line = line;
        count_lines(plain);
        const bool trim_before = found && open + 2 < text.size() && text[open + 2] == '-';
        if (trim_next) plain.remove_prefix(read_while(plain, is_space));
        while (trim_before && !plain.empty() && is_space(plain.back())) plain.remove_suffix(1);
        if (!plain.empty()) out.push_back({Chunk::Kind::text, plain, plain_line});
        if (!found) break;
        const char kind = text[open + 1];
        const std::string_view close = kind == '{' ? "}}" : kind == '%' ? "%}" : "#}";
        const std::size_t end = kind == '#' ? text.find(close, open + 2) : find_close(text, open + 2, close);
        if (end == std::string_view::npos) {
            return bad_template(line, fmt::format("'{}' is not closed", text.substr(open, 2)));
        }
        std::string_view content = text.substr(open + 2, end - open - 2);
        if (trim_before && !content.empty()) content.remove_prefix(1);
        trim_next = content.ends_with('-');
        if (trim_next) content.remove_suffix(1);
        if (kind != '#') out.push_back({kind == '{' ? Chunk::Kind::output : Chunk::Kind::tag, content, line});
        count_lines(content);
        at = end + 2;
    }
    return out;
}

Result<std::vector<Token>> tokens_of(const Chunk& chunk) {
    std::vector<Token> out;
    std::string_view rest = chunk.content;
    while (true) {
        rest.remove_prefix(read_while(rest, is_space));
        if (rest.empty()) break;
        Token token;
        std::size_t length = 0;
        if (rest[0] == '"' || rest[0] == '\'') {
            LX_TRY_AS(length, read_string(rest, chunk.line, token));
        } else if (is_letter(rest[0])) {
            length = read_while(rest, [](char c) { return is_letter(c) || is_digit(c); });
            token = {Token::Kind::word, std::string(rest.substr(0, length))};
        } else if (is_digit(rest[0])) {
            length = read_while(rest, is_digit);
            token = {Token::Kind::number, std::string(rest.substr(0, length))};
        } else {
            length = std::ranges::find(kLongSigns, rest.substr(0, 2)) != kLongSigns.end() ? 2 : 1;
            if (length == 1 && !kSigns.contains(rest[0]))
                return bad_template(chunk.line, "the tag holds a character that is not understood");
            token = {Token::Kind::sign, std::string(rest.substr(0, length))};
        }
        out.push_back(std::move(token));
        rest.remove_prefix(length);
    }
    out.push_back({});
    return out;
}

}  // namespace lxmgr::images::tpl
