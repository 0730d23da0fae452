#include "lxd-daemon/rest/request_log.h"

#include <array>
#include <nlohmann/json.hpp>

#include "lxd-daemon/base/strings.h"

namespace lxmgr::rest {
namespace {

/// Secrets of operations and images are in queries.
std::string without_secrets(std::string_view target) {
    const auto query = target.find('?');
    if (query == std::string_view::npos) return std::string(target);
    std::string out(target.substr(0, query));
    char before = '?';
    for (const auto& part : split(target.substr(query + 1), '&')) {
        out += before;
        out += part.starts_with("secret=") ? "secret=" : part;
        before = '&';
    }
    return out;
}

}  // namespace

void tell_of_request(events::Hub& hub, const Request& request, std::string_view method,
                     std::string_view target) {
    if (hub.idle(events::Kind::logging) || !request.guest.empty()) return;
    const auto requestor = nlohmann::json::parse(request.requestor_json, nullptr, false);
    const auto said = [&requestor](const char* key) {
        const bool there = requestor.is_object() && requestor.contains(key) && requestor[key].is_string();
        return there ? requestor[key].get<std::string>() : std::string();
    };
    const std::array fields{log::Field{"ip", said("address")}, log::Field{"method", method},
                            log::Field{"protocol", said("protocol")},
                            log::Field{"url", without_secrets(target)},
                            log::Field{"username", said("username")}};
    events::publish_log_line(hub, log::Level::debug, "Handling API request", fields.data(), fields.size());
}

}  // namespace lxmgr::rest
