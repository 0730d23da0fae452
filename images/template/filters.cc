#include "images/template/filters.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <array>

#include "lxd-daemon/base/strings.h"

namespace lxmgr::images::tpl {
namespace {

using Argument = std::optional<Value>;

Result<Value> lower(const Value& value, const Argument&) { return Value(to_lower(text_of(value))); }
Result<Value> upper(const Value& value, const Argument&) {
    std::string text = text_of(value);
    std::ranges::transform(text, text.begin(),
                           [](char c) { return c >= 'a' && c <= 'z' ? char(c - 32) : c; });
    return Value(std::move(text));
}
Result<Value> strip(const Value& value, const Argument&) { return Value(std::string(trim(text_of(value)))); }
Result<Value> otherwise(const Value& value, const Argument& argument) {
    return is_true(value) ? value : *argument;
}
Result<Value> otherwise_if_none(const Value& value, const Argument& argument) {
    return value.is_null() ? *argument : value;
}
Result<Value> unchanged(const Value& value, const Argument&) { return value; }
Result<Value> length(const Value& value, const Argument&) {
    return Value(value.is_structured() ? value.size() : text_of(value).size());
}
Result<Value> first(const Value& value, const Argument&) {
    return value.is_array() && !value.empty() ? value.front() : Value();
}
Result<Value> last(const Value& value, const Argument&) {
    return value.is_array() && !value.empty() ? value.back() : Value();
}
Result<Value> join(const Value& value, const Argument& argument) {
    std::vector<std::string> parts;
    if (!value.is_array()) return value;
    for (const auto& part : value) parts.push_back(text_of(part));
    return Value(fmt::format("{}", fmt::join(parts, text_of(*argument))));
}
Result<Value> split_text(const Value& value, const Argument& argument) {
    const std::string separator = text_of(*argument);
    std::string text = text_of(value);
    if (separator.empty()) return Value(Value::array({text}));
    Value out = Value::array();
    for (std::size_t at = 0;;) {
        const auto next = text.find(separator, at);
        out.push_back(text.substr(at, next == std::string::npos ? next : next - at));
        if (next == std::string::npos) return out;
        at = next + separator.size();
    }
}
Result<Value> cut(const Value& value, const Argument& argument) {
    const std::string what = text_of(*argument);
    std::string text = text_of(value);
    for (std::size_t at = 0; !what.empty() && (at = text.find(what, at)) != std::string::npos;) {
        text.erase(at, what.size());
    }
    return Value(std::move(text));
}
Result<Value> integer(const Value& value, const Argument&) {
    if (value.is_number_integer()) return value;
    return Value(parse_int(text_of(value)).value_or(0));
}
Result<Value> yes_no(const Value& value, const Argument& argument) {
    const auto words = split(argument ? text_of(*argument) : "yes,no,maybe", ',');
    if (words.size() < 2) return fail(Status::bad_request, "the filter 'yesno' takes 'yes,no'");
    if (value.is_null() && words.size() > 2) return Value(words[2]);
    return Value(is_true(value) ? words[0] : words[1]);
}

struct Filter {
    std::string_view name;
    bool needs_argument;
    Result<Value> (*run)(const Value& value, const Argument& argument);
};
constexpr auto kFilters = std::to_array<Filter>({
    {"cut", true, cut},
    {"default", true, otherwise},
    {"default_if_none", true, otherwise_if_none},
    {"first", false, first},
    {"integer", false, integer},
    {"join", true, join},
    {"last", false, last},
    {"length", false, length},
    {"lower", false, lower},
    {"safe", false, unchanged},
    {"split", true, split_text},
    {"trim", false, strip},
    {"upper", false, upper},
    {"yesno", false, yes_no},
});

}  // namespace

Result<Value> run_filter(const std::string& name, const Value& value, const Argument& argument) {
    const auto* filter = std::ranges::find(kFilters, name, &Filter::name);
    if (filter == kFilters.end())
        return fail(Status::bad_request, fmt::format("there is no filter '{}'", name));
    if (filter->needs_argument && !argument)
        return fail(Status::bad_request, fmt::format("the filter '{}' needs an argument", name));
    return filter->run(value, argument);
}

}  // namespace lxmgr::images::tpl
