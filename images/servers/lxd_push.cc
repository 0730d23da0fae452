#include "images/servers/lxd_push.h"

#include <fmt/format.h>

#include <algorithm>
#include <nlohmann/json.hpp>

#include "images/servers/export_files.h"
#include "images/web/address.h"
#include "lxd-daemon/api/json_reader.h"
#include "lxd-daemon/api/json_text.h"
#include "lxd-daemon/base/strings.h"

namespace lxmgr::images {
namespace {

constexpr std::uint64_t kMaxReply = std::uint64_t{1} << 20;
constexpr std::size_t kMaxShown = 512;

/// What another server says, for an error message.
std::string sayable(std::string text) {
    text.resize(std::min(text.size(), kMaxShown));
    for (char& c : text) {
        if (static_cast<unsigned char>(c) < 0x20 || static_cast<unsigned char>(c) >= 0x7f) c = '?';
    }
    return text.empty() ? "no reason given" : text;
}

std::vector<std::string> headers_of(const ImagePush& push) {
    std::string profiles;
    for (const auto& name : push.profiles)
        profiles += (profiles.empty() ? "profile=" : "&profile=") + url_encode(name);
    std::vector<std::string> out;
    for (const char* prefix : {"X-LXD-", "X-Incus-"}) {
        out.push_back(fmt::format("{}secret: {}", prefix, push.secret));
        out.push_back(fmt::format("{}fingerprint: {}", prefix, push.fingerprint));
        if (!push.filename.empty()) out.push_back(fmt::format("{}filename: {}", prefix, push.filename));
        if (!profiles.empty()) out.push_back(fmt::format("{}profiles: {}", prefix, profiles));
    }
    return out;
}

/// The operation that the server answers with.
Result<nlohmann::json> ask_for_operation(Web& web, WebRequest request, const std::string& target) {
    std::string text;
    request.max_bytes = kMaxReply;
    request.any_status = true;
    collect(request, text);
    LX_TRY_AS(const WebAnswer answer, web.send(request));
    auto envelope = api::parse_json(text);
    if (answer.status >= 300)
        return fail(Status::bad_request,
                    fmt::format("Server '{}' refuses with HTTP status {}: {}", shown_url(target),
                                answer.status, sayable(envelope ? api::text_in(*envelope, "error") : "")));
    if (!envelope || !envelope->is_object() || !envelope->contains("metadata"))
        return fail(Status::bad_request, fmt::format("'{}' does not answer as LXD does", shown_url(target)));
    return std::move((*envelope)["metadata"]);
}

}  // namespace

Result<> push_image(Web& web, const ImagePush& push) {
    LX_TRY(check_server_url(push.target));
    std::string base = push.target;
    while (base.ends_with('/')) base.pop_back();
    WebRequest request{.url = base + "/1.0/images"};
    if (!push.project.empty()) request.url += "?project=" + url_encode(push.project);
    request.headers = headers_of(push);
    request.upload = push.body;
    request.progress = push.progress;
    LX_TRY_AS(const auto operation, ask_for_operation(web, std::move(request), base));
    // The server reads the image now; only who has the operation's own secret may wait for it.
    const std::string secret =
        operation.contains("metadata") ? api::text_in(operation["metadata"], "secret") : std::string();
    WebRequest wait{.url = fmt::format("{}/1.0/operations/{}/wait?timeout=-1&secret={}", base,
                                       url_encode(api::text_in(operation, "id")), url_encode(secret))};
    wait.patient = true;
    LX_TRY_AS(const auto ended, ask_for_operation(web, std::move(wait), base));
    if (api::text_in(ended, "status") == "Success") return {};
    return fail(Status::bad_request, fmt::format("Server '{}' did not take the image: {}", shown_url(base),
                                                 sayable(api::text_in(ended, "err"))));
}

}  // namespace lxmgr::images
