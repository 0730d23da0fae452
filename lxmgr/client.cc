#include "lxmgr/client.h"

#include <fmt/format.h>

#include <cstdlib>

#include "lxd-daemon/base/strings.h"
#include "lxmgr/terminal.h"

namespace lxmgr::cli {
namespace {

constexpr std::string_view kUnreserved = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~";
constexpr int kFailure = 400;  // StatusCode::failure; from here on a final operation did not succeed

std::string text_of(const Json& object, const char* key) {
    const auto at = object.find(key);
    return at != object.end() && at->is_string() ? at->get<std::string>() : std::string();
}

/// Users read a sentence that begins with a capital letter and ends without a stop.
std::string sentence(std::string text) {
    text = std::string(trim(text));
    while (text.ends_with('.')) text.pop_back();
    if (!text.empty() && text[0] >= 'a' && text[0] <= 'z') text[0] = static_cast<char>(text[0] - 32);
    return text;
}

}  // namespace

std::string encode(std::string_view text) {
    std::string out;
    for (const char c : text) {
        if (kUnreserved.contains(c)) {
            out += c;
        } else {
            out += fmt::format("%{:02X}", static_cast<unsigned char>(c));
        }
    }
    return out;
}

std::string api_path(std::initializer_list<std::string_view> segments) {
    std::string path = "/1.0";
    for (const auto segment : segments) path += "/" + encode(segment);
    return path;
}

std::string instance_path(std::string_view name) { return api_path({"instances", name}); }

std::string last_segment(std::string_view url) {
    url = url.substr(0, url.find('?'));
    return std::string(url.substr(url.rfind('/') + 1));
}

std::string default_socket_path() {
    if (const char* socket = std::getenv("LXMGR_SOCKET"); socket != nullptr && *socket != '\0') return socket;
    if (const char* dir = std::getenv("LXMGR_DIR"); dir != nullptr && *dir != '\0') {
        return fmt::format("{}/unix.socket", dir);
    }
    return "/var/lib/lxmgr/unix.socket";
}

Result<Answer> open_envelope(unsigned http_status, const std::string& body) {
    Json envelope = Json::parse(body, nullptr, false);
    if (!envelope.is_object()) {
        return fail(Status::internal,
                    fmt::format("The daemon's answer is not JSON (HTTP status {})", http_status));
    }
    if (text_of(envelope, "type") == "error" || http_status >= 400) {
        const std::string message = sentence(text_of(envelope, "error"));
        return fail(static_cast<Status>(http_status),
                    message.empty() ? fmt::format("HTTP status {}", http_status) : message);
    }
    Answer answer;
    answer.operation = text_of(envelope, "operation");
    if (const auto at = envelope.find("metadata"); at != envelope.end()) answer.metadata = std::move(*at);
    return answer;
}

Result<Json> operation_outcome(const Json& operation) {
    const int code = operation.value("status_code", 0);
    if (code < kFailure) return operation;
    const std::string message = sentence(text_of(operation, "err"));
    return fail(Status::internal, message.empty() ? text_of(operation, "status") : message);
}

Client::Client(Server server) : http_(std::move(server)) {}

Result<Answer> Client::send(HttpRequest request) {
    LX_TRY_AS(const auto response, http_.send(request));
    LX_TRY_AS(const std::string body, response->read_all());
    LX_TRY_AS(Answer answer, open_envelope(response->status(), body));
    answer.etag = response->header("ETag");
    answer.location = response->header("Location");
    return answer;
}

Result<Answer> Client::send(std::string_view method, const std::string& path, const Json& body,
                            const std::string& etag) {
    HttpRequest request{.method = std::string(method), .target = path, .headers = {}, .body = {}};
    if (!body.is_null()) {
        request.body = body.dump(-1, ' ', false, Json::error_handler_t::replace);
        request.headers.emplace_back("Content-Type", "application/json");
    }
    if (!etag.empty()) request.headers.emplace_back("If-Match", etag);
    return send(std::move(request));
}

Result<Json> Client::get(const std::string& path) {
    LX_TRY_AS(Answer answer, fetch(path));
    return std::move(answer.metadata);
}

Result<Answer> Client::fetch(const std::string& path) { return send("GET", path, nullptr); }

Result<Json> Client::call(std::string_view method, const std::string& path, const Json& body,
                          const Waiting& waiting, const std::string& etag) {
    auto answer = [&] {
        const Spinner spinner(waiting.doing);  // some requests do all their work before they answer
        return send(method, path, body, etag);
    }();
    if (!answer) return std::unexpected(std::move(answer).error());
    return finish(*answer, waiting);
}

Result<Json> Client::finish(const Answer& answer, const Waiting& waiting) {
    if (answer.operation.empty()) return answer.metadata;
    return wait(answer.operation, waiting);
}

Result<std::unique_ptr<HttpResponse>> Client::open(const HttpRequest& request) {
    LX_TRY_AS(auto response, http_.send(request));
    if (response->status() < 400) return response;
    LX_TRY_AS(const std::string body, response->read_all());
    if (request.method == "HEAD") return fail(static_cast<Status>(response->status()), "Not found");
    LX_TRY(open_envelope(response->status(), body));
    return fail(static_cast<Status>(response->status()), fmt::format("HTTP status {}", response->status()));
}

}  // namespace lxmgr::cli
