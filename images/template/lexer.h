#pragma once
#include <string>
#include <string_view>
#include <vector>

#include "lxd-daemon/base/result.h"

namespace lxmgr::images::tpl {

/// A stretch of a template: text between tags, {{ ... }} or {% ... %}. Comments are left out.
struct Chunk {
    enum class Kind { text, output, tag } kind = Kind::text;
    std::string_view content;  ///< of the template, without the braces
    int line = 1;
};
Result<std::vector<Chunk>> split_template(std::string_view text);

struct Token {
    enum class Kind { end, word, number, string, sign } kind = Kind::end;
    std::string text;  ///< string: unquoted
};
/// The words and signs within one tag. Errors: `bad_request`.
Result<std::vector<Token>> tokens_of(const Chunk& chunk);

std::unexpected<Error> bad_template(int line, std::string_view why);

}  // namespace lxmgr::images::tpl
