#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>

#include "lxd-daemon/base/strings.h"
#include "lxd-daemon/rest/route.h"

namespace lxmgr::rest {
namespace {

/// How deep JSON nests at most: writing a document back is recursive.
constexpr int kMaxDepth = 64;

bool nests_too_deep(std::string_view text) {
    int depth = 0;
    bool in_string = false;
    for (std::size_t i = 0; i < text.size(); ++i) {
        const char c = text[i];
        if (in_string) {
            if (c == '\\') ++i;
            in_string = c != '"';
        } else if (c == '"') {
            in_string = true;
        } else if (c == '{' || c == '[') {
            if (++depth > kMaxDepth) return true;
        } else if (c == '}' || c == ']') {
            --depth;
        }
    }
    return false;
}

}  // namespace

BodyFile::~BodyFile() {
    if (!path.empty()) ::unlink(path.c_str());
}

const std::string& Request::path_arg(const std::string& name) const { return args.at(name); }

std::string Request::query_or(const std::string& name, std::string fallback) const {
    const auto found = query.find(name);
    return found == query.end() ? fallback : found->second;
}

std::optional<std::string> Request::header(std::string_view name) const {
    const auto find = [&](std::string_view wanted) {
        return std::ranges::find_if(headers, [&](const auto& header) { return header.first == wanted; });
    };
    auto found = find(name);
    if (found == headers.end() && name.starts_with("x-lxd-"))
        found = find(fmt::format("x-incus-{}", name.substr(6)));
    if (found == headers.end()) return std::nullopt;
    return found->second;
}

Result<nlohmann::json> Request::json() const {
    // lxc query sends `""` where it has nothing to say, other clients null. Nothing at all is a mistake, as
    // in LXD: a PUT would take everything away.
    const auto text = trim(body);
    if (text.empty()) return fail(Status::bad_request, "The request has no body: a JSON object is expected");
    if (text == "\"\"" || text == "null") return nlohmann::json::object();
    if (nests_too_deep(text)) return fail(Status::bad_request, "The request's JSON is nested too deep");
    auto value = nlohmann::json::parse(text, nullptr, /*allow_exceptions=*/false);
    if (value.is_discarded()) return fail(Status::bad_request, "The request's body is not valid JSON");
    if (!value.is_object()) return fail(Status::bad_request, "The request's body is not a JSON object");
    return value;
}

int Request::recursion() const {
    const auto level = parse_int(query_or("recursion", "0"));
    return level ? static_cast<int>(std::clamp<std::int64_t>(*level, 0, 2)) : 0;
}

std::string Request::if_match() const {
    const std::string value = header("if-match").value_or("");
    std::string_view tag = trim(value);
    if (tag.starts_with("W/")) tag.remove_prefix(2);
    if (tag.size() >= 2 && tag.starts_with('"') && tag.ends_with('"')) tag = tag.substr(1, tag.size() - 2);
    return std::string(tag);
}

Result<> check_etag(const Request& request, const std::string& etag) {
    return check_match(request.if_match(), etag);
}

Result<> check_match(const std::string& wanted, const std::string& etag) {
    if (wanted.empty() || wanted == "*" || wanted == etag) return {};
    return fail(Status::precondition_failed,
                fmt::format("ETag doesn't match: {} vs {}, the object was changed meanwhile", etag, wanted));
}

Result<> check_project(const Request& request) {
    const std::string project = request.query_or("project", "default");
    if (project.empty() || project == request.project || request.all_projects) return {};
    return fail(Status::not_found, fmt::format("Project '{}' not found", project));
}

}  // namespace lxmgr::rest
