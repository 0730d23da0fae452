#include "lxd-daemon/rest/target.h"

#include "lxd-daemon/base/strings.h"

namespace lxmgr::rest {
namespace {

int hex_value(char c) {
    if (c >= '0' && c <= '9') return c - '0';
    if (c >= 'a' && c <= 'f') return c - 'a' + 10;
    if (c >= 'A' && c <= 'F') return c - 'A' + 10;
    return -1;
}

std::string_view strip_authority(std::string_view text) {
    const auto scheme = text.find("://");
    if (text.starts_with('/') || scheme == std::string_view::npos) return text;
    const auto path = text.find('/', scheme + 3);
    return path == std::string_view::npos ? "/" : text.substr(path);
}

Result<std::map<std::string, std::string>> parse_query(std::string_view text) {
    std::map<std::string, std::string> query;
    for (const auto& part : split(text, '&')) {
        if (part.empty()) continue;
        const auto equals = part.find('=');
        const std::string_view view = part;
        LX_TRY_AS(auto key, percent_decode(view.substr(0, equals), true));
        std::string value;
        if (equals != std::string::npos) {
            LX_TRY_AS(value, percent_decode(view.substr(equals + 1), true));
        }
        if (value.contains('\0')) return fail(Status::bad_request, "Query holds a NUL byte");
        query.emplace(std::move(key), std::move(value));
    }
    return query;
}

}  // namespace

Result<std::string> percent_decode(std::string_view text, bool plus_is_space) {
    std::string out;
    out.reserve(text.size());
    for (std::size_t i = 0; i < text.size(); ++i) {
        if (text[i] == '+' && plus_is_space) {
            out += ' ';
        } else if (text[i] != '%') {
            out += text[i];
        } else {
            const bool complete = i + 2 < text.size();
            const int high = complete ? hex_value(text[i + 1]) : -1;
            const int low = complete ? hex_value(text[i + 2]) : -1;
            if (high < 0 || low < 0) return fail(Status::bad_request, "Bad percent escape in the URL");
            out += static_cast<char>(high * 16 + low);
            i += 2;
        }
    }
    return out;
}

Result<Target> parse_target(std::string_view text) {
    text = strip_authority(text);
    text = text.substr(0, text.find('#'));
    if (!text.starts_with('/')) return fail(Status::bad_request, "Bad URL in the request line");
    Target target;
    const auto question = text.find('?');
    if (question != std::string_view::npos) {
        LX_TRY_AS(target.query, parse_query(text.substr(question + 1)));
    }
    std::string_view path = text.substr(1, question == std::string_view::npos ? question : question - 1);
    if (path.ends_with('/')) path.remove_suffix(1);
    if (path.empty()) return target;
    for (const auto& part : split(path, '/')) {
        LX_TRY_AS(auto segment, percent_decode(part, false));
        if (segment.empty() || has_control_chars(segment))
            return fail(Status::bad_request, "Bad path in the URL");
        target.segments.push_back(std::move(segment));
    }
    return target;
}

}  // namespace lxmgr::rest
