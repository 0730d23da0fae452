#include "lxd-daemon/rest/router.h"

#include <fmt/format.h>

#include <algorithm>
#include <stdexcept>

#include "lxd-daemon/base/strings.h"

namespace lxmgr::rest {

Router::Router(std::span<const std::span<const Route>> tables) {
    for (const auto& table : tables) {
        for (const Route& route : table) add(route);
    }
}

void Router::add(const Route& route) {
    Node* node = &root_;
    std::vector<std::string> names;
    if (route.pattern != "/") {
        for (const auto& part : split(route.pattern.substr(1), '/')) {
            const bool is_arg = part.starts_with('{');
            const bool is_rest = part.ends_with("...}");
            if (is_arg) names.push_back(part.substr(1, part.size() - (is_rest ? 5 : 2)));
            auto& next = is_rest ? node->rest : is_arg ? node->any : node->literal[part];
            if (!next) next = std::make_unique<Node>();
            node = next.get();
        }
    }
    const auto verb = static_cast<std::size_t>(route.verb);
    if (node->routes[verb] != nullptr) {
        throw std::logic_error(fmt::format("route '{}' is defined twice", route.pattern));
    }
    node->routes[verb] = &route;
    node->arg_names[verb] = std::move(names);
}

Router::Match Router::find(Verb verb, const std::vector<std::string>& segments) const {
    const Node* node = &root_;
    std::vector<const std::string*> values;
    std::string joined;
    for (std::size_t at = 0; at < segments.size(); ++at) {
        const std::string& segment = segments[at];
        const auto literal = node->literal.find(segment);
        if (literal != node->literal.end()) {
            node = literal->second.get();
        } else if (node->any) {
            values.push_back(&segment);
            node = node->any.get();
        } else if (node->rest) {
            joined = fmt::format("{}", fmt::join(std::span(segments).subspan(at), "/"));
            values.push_back(&joined);
            node = node->rest.get();
            break;
        } else {
            return {};
        }
    }
    Match match;
    match.path_known = std::ranges::any_of(node->routes, [](const Route* route) { return route != nullptr; });
    auto index = static_cast<std::size_t>(verb);
    if (verb == Verb::head && node->routes[index] == nullptr) index = static_cast<std::size_t>(Verb::get);
    match.route = node->routes[index];
    if (match.route == nullptr) return match;
    const auto& names = node->arg_names[index];
    for (std::size_t i = 0; i < names.size(); ++i) match.args.emplace(names[i], *values[i]);
    return match;
}

bool rewrite_alias(std::vector<std::string>& segments) {
    if (segments.size() < 2 || segments[0] != "1.0" || segments[1] != "containers") return false;
    segments[1] = "instances";
    return true;
}

}  // namespace lxmgr::rest
