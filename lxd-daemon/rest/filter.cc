#include <fmt/format.h>
#include <re2/re2.h>

#include <memory>

#include "lxd-daemon/base/strings.h"
#include "lxd-daemon/rest/route.h"

// The language (LXD's API extension api_filtering): clauses `[not] FIELD eq|ne VALUE`, joined by `and` and
// `or`, worked out from left to right. FIELD may go into objects with dots: config.user.a, where the longest
// key that exists counts. VALUE may stand in double quotes; for text it is a regular expression that must
// match the whole, whatever the case.
namespace lxmgr::rest {
namespace {

constexpr std::size_t kMaxFilter = 4096;
constexpr std::size_t kMaxClauses = 64;

struct Clause {
    bool joined_by_or = false;
    bool negated = false;
    std::string field;
    std::string value;
    std::shared_ptr<const re2::RE2> pattern;
};

struct Word {
    std::string text;
    bool quoted = false;
};

std::unexpected<Error> bad_filter(std::string_view what, std::string_view where) {
    return fail(Status::bad_request, fmt::format("Bad filter: {} at '{}'", what, where.substr(0, 80)));
}

Result<Word> read_quoted(std::string_view& rest) {
    const std::string_view start = rest;
    Word word{.text = "", .quoted = true};
    for (rest.remove_prefix(1); !rest.empty(); rest.remove_prefix(1)) {
        if (rest.front() == '"') {
            rest.remove_prefix(1);
            return word;
        }
        if (rest.size() > 1 && rest.front() == '\\' && (rest[1] == '"' || rest[1] == '\\'))
            rest.remove_prefix(1);
        word.text += rest.front();
    }
    return bad_filter("a quote is not closed", start);
}

Result<std::vector<Word>> read_words(std::string_view rest) {
    std::vector<Word> words;
    for (rest = trim(rest); !rest.empty(); rest = trim(rest)) {
        if (rest.front() == '"') {
            LX_TRY_AS(auto word, read_quoted(rest));
            words.push_back(std::move(word));
            continue;
        }
        const auto end = std::min(rest.find_first_of(" \t\r\n"), rest.size());
        words.push_back({.text = std::string(rest.substr(0, end))});
        rest.remove_prefix(end);
    }
    return words;
}

bool is_keyword(const Word& word, std::string_view keyword) {
    return !word.quoted && to_lower(word.text) == keyword;
}

Result<std::shared_ptr<const re2::RE2>> compile(const std::string& value) {
    re2::RE2::Options options;
    options.set_case_sensitive(false);
    options.set_log_errors(false);
    options.set_max_mem(1 << 20);
    auto pattern = std::make_shared<const re2::RE2>(value, options);
    if (!pattern->ok()) return bad_filter(pattern->error(), value);
    return pattern;
}

/// Reads one clause that starts at words[at] and moves `at` behind it.
Result<Clause> read_clause(const std::vector<Word>& words, std::size_t& at) {
    Clause clause;
    for (; at < words.size() && is_keyword(words[at], "not"); ++at) clause.negated = !clause.negated;
    if (at + 3 > words.size())
        return bad_filter("a clause is 'FIELD eq|ne VALUE'", at < words.size() ? words[at].text : "the end");
    clause.field = words[at].text;
    if (is_keyword(words[at + 1], "ne")) {
        clause.negated = !clause.negated;
    } else if (!is_keyword(words[at + 1], "eq")) {
        return bad_filter("the operator is not 'eq' or 'ne'", words[at + 1].text);
    }
    clause.value = words[at + 2].text;
    LX_TRY_AS(clause.pattern, compile(clause.value));
    at += 3;
    return clause;
}

Result<std::vector<Clause>> parse(std::string_view filter) {
    if (filter.size() > kMaxFilter) return bad_filter("it is too long", filter);
    LX_TRY_AS(const auto words, read_words(filter));
    std::vector<Clause> clauses;
    for (std::size_t at = 0; at < words.size();) {
        bool joined_by_or = false;
        if (!clauses.empty()) {
            joined_by_or = is_keyword(words[at], "or");
            if (!joined_by_or && !is_keyword(words[at], "and"))
                return bad_filter("clauses are joined by 'and' or 'or'", words[at].text);
            ++at;
        }
        LX_TRY_AS(auto clause, read_clause(words, at));
        clause.joined_by_or = joined_by_or;
        clauses.push_back(std::move(clause));
        if (clauses.size() > kMaxClauses) return bad_filter("it has too many clauses", filter);
    }
    return clauses;
}

/// Finds "a.b.c" in an object whose keys may hold dots themselves. Null when nothing is there.
const nlohmann::json* find_field(const nlohmann::json& object, std::string_view field) {
    if (!object.is_object()) return nullptr;
    if (const auto whole = object.find(field); whole != object.end()) return &*whole;
    for (auto dot = field.rfind('.'); dot != std::string_view::npos && dot > 0;
         dot = field.rfind('.', dot - 1)) {
        const auto part = object.find(field.substr(0, dot));
        if (part == object.end()) continue;
        if (const auto* found = find_field(*part, field.substr(dot + 1))) return found;
    }
    return nullptr;
}

bool value_matches(const nlohmann::json& value, const Clause& clause) {
    switch (value.type()) {
        case nlohmann::json::value_t::string: {
            const auto& text = value.get_ref<const std::string&>();
            return text == clause.value || re2::RE2::FullMatch(text, *clause.pattern);
        }
        case nlohmann::json::value_t::array: {
            for (const auto& element : value) {
                if (value_matches(element, clause)) return true;
            }
            return false;
        }
        case nlohmann::json::value_t::object:
        case nlohmann::json::value_t::null:
            return false;
        default:
            return to_lower(clause.value) == value.dump();
    }
}

bool matches(const std::vector<Clause>& clauses, const nlohmann::json& object) {
    bool result = true;
    for (const auto& clause : clauses) {
        const auto* value = find_field(object, clause.field);
        const bool holds = (value != nullptr && value_matches(*value, clause)) != clause.negated;
        result = clause.joined_by_or ? (result || holds) : (result && holds);
    }
    return result;
}

}  // namespace

Result<nlohmann::json> apply_filter(const std::string& filter, nlohmann::json objects) {
    LX_TRY_AS(const auto clauses, parse(filter));
    if (clauses.empty()) return objects;
    nlohmann::json kept = nlohmann::json::array();
    for (auto& object : objects) {
        if (matches(clauses, object)) kept.push_back(std::move(object));
    }
    return kept;
}

}  // namespace lxmgr::rest
