#include <fmt/format.h>

#include <algorithm>

#include "lxd-daemon/base/strings.h"
#include "profiles/config_keys.h"

namespace lxmgr::profiles {
namespace {

bool is_digit(char c) { return c >= '0' && c <= '9'; }
bool is_label_char(char c) {
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || is_digit(c) || c == '-';
}

std::unexpected<Error> bad_instance(std::string_view why) {
    return fail(Status::bad_request, fmt::format("Invalid instance name: {}", why));
}

// Names of stored objects are parts of URLs and paths.
Result<> check_object_name(std::string_view what, std::string_view name, std::size_t max_length) {
    const auto bad = [&](std::string_view why) {
        return fail(Status::bad_request, fmt::format("Invalid {} name: {}", what, why));
    };
    if (name.empty()) return bad("it is empty");
    if (name.size() > max_length) return bad(fmt::format("at most {} bytes are allowed", max_length));
    if (name == "." || name == "..") return bad("'.' and '..' are reserved");
    if (name.find('/') != std::string_view::npos) return bad("slashes are not allowed");
    if (name.find_first_of(" ?*#&\"'\\") != std::string_view::npos || has_control_chars(name)) {
        return bad("spaces, quotes, wildcards and control characters are not allowed");
    }
    if (!is_utf8(name)) return bad("it is not UTF-8");
    return {};
}

}  // namespace

Result<> validate_instance_name(std::string_view name) {
    if (name.empty() || name.size() > 63) return bad_instance("Name must be 1-63 characters long");
    if (!std::ranges::all_of(name, is_label_char)) {
        return bad_instance("Name can only contain alphanumeric and hyphen characters");
    }
    if (name.front() == '-') return bad_instance("Name must not start with \"-\" character");
    if (is_digit(name.front())) return bad_instance("Name must not start with a number");
    if (name.back() == '-') return bad_instance("Name must not end with \"-\" character");
    return {};
}

Result<> validate_profile_name(std::string_view name) { return check_object_name("profile", name, 128); }

Result<> validate_volume_name(std::string_view name) { return check_object_name("volume", name, 255); }

Result<> validate_project_name(std::string_view name) {
    constexpr std::size_t kLongest = 40;  // it stands before instances' names in paths of sockets
    if (!name.empty() && name.size() <= kLongest && std::ranges::all_of(name, is_label_char) &&
        name.front() != '-' && name.back() != '-')
        return {};
    return fail(Status::bad_request,
                fmt::format("Invalid project name: 1 to {} letters, digits and hyphens, no hyphen at the "
                            "beginning or end",
                            kLongest));
}

Result<> validate_alias_name(std::string_view name) {
    // "debian/12" is a good alias: slashes are what LXD's own image servers use.
    if (name.empty() || name.size() > 255 || has_control_chars(name) || !is_utf8(name) ||
        name.front() == '/') {
        return fail(Status::bad_request,
                    "Invalid image alias: 1 to 255 bytes without control characters, not starting with '/'");
    }
    return {};
}

}  // namespace lxmgr::profiles
