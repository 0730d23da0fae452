#pragma once
#include <array>
#include <map>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "lxd-daemon/rest/route.h"

namespace lxmgr::rest {

constexpr std::size_t kVerbs = 6;

/// The routes as a tree of path segments, built once at start. A literal segment wins over a {name};
/// {name...}, at the end of a pattern, is all segments that are left.
class Router {
public:
    /// Throws std::logic_error when two routes have the same verb and path: a bug of this program.
    explicit Router(std::span<const std::span<const Route>> tables);

    struct Match {
        const Route* route = nullptr;
        bool path_known = false;  ///< some verb is served at this path
        std::map<std::string, std::string> args;
    };
    /// @param segments decoded path
    [[nodiscard]] Match find(Verb verb, const std::vector<std::string>& segments) const;

private:
    struct Node {
        std::map<std::string, std::unique_ptr<Node>, std::less<>> literal;
        std::unique_ptr<Node> any, rest;
        std::array<const Route*, kVerbs> routes{};
        std::array<std::vector<std::string>, kVerbs> arg_names;
    };
    void add(const Route& route);
    Node root_;
};

/// LXD's older name of the same objects: /1.0/containers/... is served as /1.0/instances/...
/// @return whether it was that name
bool rewrite_alias(std::vector<std::string>& segments);

}  // namespace lxmgr::rest
