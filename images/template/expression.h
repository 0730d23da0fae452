#pragma once
#include <map>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "images/template.h"
#include "images/template/lexer.h"

namespace lxmgr::images::tpl {

using Value = nlohmann::json;

/// Names that tags have set, innermost last; then those of the input.
struct Scope {
    const TemplateInput& input;
    std::vector<std::map<std::string, Value>> locals{};

    /// Null when there is none of that name, as in Django.
    [[nodiscard]] Value find(const std::string& name) const;
};

/// How it is written out: text as it is, numbers and truth values as Django writes them, null as nothing.
std::string text_of(const Value& value);
/// Django's rule: nothing, "", 0, false and empty collections are false.
bool is_true(const Value& value);

/// Reads and evaluates expressions from the tokens of one tag.
class Expression {
public:
    Expression(const std::vector<Token>& tokens, std::size_t first, int line, const Scope& scope)
        : tokens_(tokens), at_(first), line_(line), scope_(scope) {}

    /// or, and, not, comparisons, sums, products, filters. Errors: `bad_request`.
    Result<Value> evaluate();
    [[nodiscard]] bool at_end() const { return tokens_[at_].kind == Token::Kind::end; }
    [[nodiscard]] std::size_t position() const { return at_; }
    /// `bad_request` when something is left.
    Result<> expect_end() const;

private:
    Result<Value> either();
    Result<Value> both();
    Result<Value> negation();
    Result<Value> comparison();
    Result<Value> sum();
    Result<Value> product();
    Result<Value> filtered();
    Result<Value> primary();
    Result<Value> members(Value value);
    Result<Value> call(const std::string& name);
    Result<Value> apply_filter(const std::string& name, const Value& value);

    bool take_sign(std::string_view sign);
    bool take_word(std::string_view word);
    [[nodiscard]] std::unexpected<Error> bad(std::string_view why) const { return bad_template(line_, why); }

    const std::vector<Token>& tokens_;
    std::size_t at_;
    int line_;
    const Scope& scope_;
    int depth_ = 0;
};

}  // namespace lxmgr::images::tpl
