#include "profiles/web_checks.h"

#include <algorithm>
#include <string>

#include "lxd-daemon/base/strings.h"
#include "profiles/must.h"

namespace lxmgr::profiles::check {
namespace {

bool is_plain(std::string_view text, std::string_view more) {
    return !text.empty() && std::ranges::all_of(text, [more](char c) {
        return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || more.contains(c);
    });
}

bool is_origin(std::string_view text) {
    if (text == "*") return true;
    for (const std::string_view scheme : {"https://", "http://"}) {
        if (text.starts_with(scheme)) return is_plain(text.substr(scheme.size()), "-._:[]");
    }
    return false;
}

std::unexpected<Error> no_origin() { return must("an origin such as https://panel.example:8443, or *"); }

}  // namespace

Result<> web_origins(std::string_view, std::string_view value) {
    for (const auto& part : split(value, ',')) {
        if (!is_origin(trim(part))) return no_origin();
    }
    return {};
}

Result<> web_origin(std::string_view, std::string_view value) {
    if (!is_origin(value)) return no_origin();
    return {};
}

Result<> http_words(std::string_view, std::string_view value) {
    for (const auto& part : split(value, ',')) {
        if (!is_plain(trim(part), "-_*")) return must("names with commas between them");
    }
    return {};
}

}  // namespace lxmgr::profiles::check
