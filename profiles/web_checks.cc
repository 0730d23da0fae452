#include "profiles/web_checks.h"

#include <arpa/inet.h>

#include <algorithm>
#include <array>
#include <string>

#include "lxd-daemon/base/strings.h"

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

std::unexpected<Error> no_origin() {
    return fail(Status::bad_request, "must be an origin such as https://panel.example:8443, or *");
}

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

Result<> ip_addresses(std::string_view, std::string_view value) {
    for (const auto& part : split(value, ',')) {
        std::array<unsigned char, sizeof(in6_addr)> address{};
        const std::string text(trim(part));
        if (::inet_pton(AF_INET, text.c_str(), address.data()) == 1) continue;
        if (::inet_pton(AF_INET6, text.c_str(), address.data()) == 1) continue;
        return fail(Status::bad_request, "must be IP addresses with commas between them");
    }
    return {};
}

Result<> http_words(std::string_view, std::string_view value) {
    for (const auto& part : split(value, ',')) {
        if (!is_plain(trim(part), "-_*"))
            return fail(Status::bad_request, "must be names with commas between them");
    }
    return {};
}

}  // namespace lxmgr::profiles::check
