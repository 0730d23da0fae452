#include "lxd-daemon/rest/urls.h"

#include <fmt/format.h>

#include <iterator>

namespace lxmgr::rest {
namespace {

bool is_unreserved(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') || c == '-' ||
           c == '.' || c == '_' || c == '~';
}

}  // namespace

std::string url_of(std::initializer_list<std::string_view> parts) {
    std::string out = "/1.0";
    for (const std::string_view part : parts) {
        out += '/';
        for (const char c : part) {
            if (is_unreserved(c)) {
                out += c;
            } else {
                fmt::format_to(std::back_inserter(out), "%{:02X}", static_cast<unsigned char>(c));
            }
        }
    }
    return out;
}

}  // namespace lxmgr::rest
