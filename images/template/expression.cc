#include "images/template/expression.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>

#include "images/template/filters.h"
#include "lxd-daemon/base/strings.h"

namespace lxmgr::images::tpl {
namespace {

constexpr int kMaxExpressionDepth = 50;

bool is_less(const Value& left, const Value& right) {
    if (left.is_number() && right.is_number()) return left < right;
    return text_of(left) < text_of(right);
}

bool contains(const Value& container, const Value& value) {
    if (container.is_object()) return container.contains(text_of(value));
    if (container.is_array()) return std::ranges::find(container, value) != container.end();
    return text_of(container).contains(text_of(value));
}

Value compare(const std::string& sign, const Value& left, const Value& right) {
    if (sign == "==") return left == right;
    if (sign == "!=" || sign == "<>") return left != right;
    if (sign == "<") return is_less(left, right);
    if (sign == ">") return is_less(right, left);
    if (sign == "<=") return !is_less(right, left);
    return !is_less(left, right);
}

}  // namespace

Value Scope::find(const std::string& name) const {
    for (auto frame = locals.rbegin(); frame != locals.rend(); ++frame) {
        if (const auto found = frame->find(name); found != frame->end()) return found->second;
    }
    const auto found = input.variables.find(name);
    return found == input.variables.end() ? Value() : *found;
}

std::string text_of(const Value& value) {
    if (value.is_null()) return "";
    if (value.is_string()) return value.get<std::string>();
    if (value.is_boolean()) return value.get<bool>() ? "True" : "False";
    return value.dump(-1, ' ', false, Value::error_handler_t::replace);
}

bool is_true(const Value& value) {
    if (value.is_string() || value.is_structured())
        return value.is_string() ? !value.get_ref<const std::string&>().empty() : !value.empty();
    if (value.is_number()) return value != 0;
    return value.is_boolean() && value.get<bool>();
}

bool Expression::take_sign(std::string_view sign) {
    const bool found = tokens_[at_].kind == Token::Kind::sign && tokens_[at_].text == sign;
    if (found) ++at_;
    return found;
}

bool Expression::take_word(std::string_view word) {
    const bool found = tokens_[at_].kind == Token::Kind::word && tokens_[at_].text == word;
    if (found) ++at_;
    return found;
}

Result<> Expression::expect_end() const {
    if (at_end()) return {};
    return bad(fmt::format("'{}' was not expected", tokens_[at_].text));
}

Result<Value> Expression::evaluate() {
    if (++depth_ > kMaxExpressionDepth) return bad("the expression is nested too deeply");
    auto value = either();
    --depth_;
    return value;
}

Result<Value> Expression::either() {
    LX_TRY_AS(Value left, both());
    while (take_word("or") || take_sign("||")) {
        LX_TRY_AS(Value right, both());
        left = is_true(left) || is_true(right);
    }
    return left;
}

Result<Value> Expression::both() {
    LX_TRY_AS(Value left, negation());
    while (take_word("and") || take_sign("&&")) {
        LX_TRY_AS(Value right, negation());
        left = is_true(left) && is_true(right);
    }
    return left;
}

Result<Value> Expression::negation() {
    bool negated = false;
    while (take_word("not") || take_sign("!")) negated = !negated;
    LX_TRY_AS(Value value, comparison());
    if (negated) return Value(!is_true(value));
    return value;
}

Result<Value> Expression::comparison() {
    LX_TRY_AS(Value left, sum());
    if (take_word("in")) {
        LX_TRY_AS(const Value right, sum());
        return Value(contains(right, left));
    }
    if (take_word("not")) {
        if (!take_word("in")) return bad("'in' is missing after 'not'");
        LX_TRY_AS(const Value right, sum());
        return Value(!contains(right, left));
    }
    for (const char* sign : {"==", "!=", "<>", "<=", ">=", "<", ">"}) {
        if (!take_sign(sign)) continue;
        LX_TRY_AS(const Value right, sum());
        return compare(sign, left, right);
    }
    return left;
}

Result<Value> Expression::sum() {
    LX_TRY_AS(Value left, product());
    for (;;) {
        const bool add = take_sign("+");
        if (!add && !take_sign("-")) return left;
        LX_TRY_AS(const Value right, product());
        if (add && (left.is_string() || right.is_string())) {
            left = text_of(left) + text_of(right);
        } else if (left.is_number_integer() && right.is_number_integer()) {
            std::int64_t out = 0;
            const auto a = left.get<std::int64_t>();
            const auto b = right.get<std::int64_t>();
            if (add ? __builtin_add_overflow(a, b, &out) : __builtin_sub_overflow(a, b, &out))
                return bad("the number is too large");
            left = out;
        } else {
            return bad("only numbers can be added and subtracted");
        }
    }
}

Result<Value> Expression::product() {
    LX_TRY_AS(Value left, filtered());
    for (;;) {
        const std::string sign = tokens_[at_].kind == Token::Kind::sign ? tokens_[at_].text : "";
        if (sign != "*" && sign != "/" && sign != "%") return left;
        ++at_;
        LX_TRY_AS(const Value right, filtered());
        if (!left.is_number_integer() || !right.is_number_integer())
            return bad("only numbers can be multiplied and divided");
        const auto a = left.get<std::int64_t>();
        const auto b = right.get<std::int64_t>();
        std::int64_t out = 0;
        if (sign == "*") {
            if (__builtin_mul_overflow(a, b, &out)) return bad("the number is too large");
        } else if (b == 0 || b == -1) {
            if (b == 0) return bad("division by zero");
            if (sign == "/" && __builtin_sub_overflow(std::int64_t{0}, a, &out))
                return bad("the number is too large");
        } else {
            out = sign == "/" ? a / b : a % b;
        }
        left = out;
    }
}

Result<Value> Expression::filtered() {
    LX_TRY_AS(Value value, primary());
    while (take_sign("|")) {
        if (tokens_[at_].kind != Token::Kind::word) return bad("the name of a filter is missing after '|'");
        const std::string name = tokens_[at_++].text;
        LX_TRY_AS(value, apply_filter(name, value));
    }
    return value;
}

Result<Value> Expression::apply_filter(const std::string& name, const Value& value) {
    std::optional<Value> argument;
    if (take_sign(":")) {
        LX_TRY_AS(argument, primary());
    }
    auto done = run_filter(name, value, argument);
    if (!done) return bad(done.error().message);
    return done;
}

Result<Value> Expression::primary() {
    const Token token = tokens_[at_];
    if (take_sign("(")) {
        LX_TRY_AS(Value value, evaluate());
        if (!take_sign(")")) return bad("')' is missing");
        return value;
    }
    if (token.kind == Token::Kind::end) return bad("a value is missing");
    ++at_;
    if (token.kind == Token::Kind::string) return Value(token.text);
    if (token.kind == Token::Kind::number) {
        const auto number = parse_int(token.text);
        if (!number) return bad("the number is too large");
        return Value(*number);
    }
    if (token.kind == Token::Kind::sign) return bad(fmt::format("'{}' was not expected", token.text));
    if (token.text == "true" || token.text == "True") return Value(true);
    if (token.text == "false" || token.text == "False") return Value(false);
    if (token.text == "nil" || token.text == "None") return Value();
    if (take_sign("(")) return call(token.text);
    return members(scope_.find(token.text));
}

Result<Value> Expression::members(Value value) {
    while (take_sign(".")) {
        const Token key = tokens_[at_];
        if (key.kind != Token::Kind::word && key.kind != Token::Kind::number)
            return bad("a name is missing after '.'");
        ++at_;
        Value next;
        if (value.is_object() && value.contains(key.text)) {
            next = value[key.text];
        } else if (value.is_array() && key.kind == Token::Kind::number) {
            const auto index = parse_int(key.text);
            if (index && *index < std::ssize(value)) next = value[static_cast<std::size_t>(*index)];
        }
        value = std::move(next);
    }
    return value;
}

Result<Value> Expression::call(const std::string& name) {
    std::vector<Value> arguments;
    while (!take_sign(")")) {
        if (!arguments.empty() && !take_sign(",")) return bad("')' is missing");
        LX_TRY_AS(Value argument, evaluate());
        arguments.push_back(std::move(argument));
    }
    if (name != "config_get") return bad(fmt::format("there is no function '{}'; there is config_get", name));
    if (arguments.size() != 2) return bad("config_get takes a key and what else to use");
    const auto* config = scope_.input.config;
    if (config == nullptr) return arguments[1];
    const auto found = config->find(text_of(arguments[0]));
    return found == config->end() ? arguments[1] : Value(found->second);
}

}  // namespace lxmgr::images::tpl
