#include <fmt/format.h>
#include <openssl/evp.h>

#include <array>

#include "lxd-daemon/base/strings.h"
#include "lxd-daemon/rest/route.h"

namespace lxmgr::rest {
namespace {

/// Text of objects may hold bytes that a guest chose: what is not UTF-8 is replaced, never thrown about.
std::string dump(const nlohmann::json& value) {
    return value.dump(-1, ' ', false, nlohmann::json::error_handler_t::replace);
}

Response json_response(int status, std::string body) {
    Response response;
    response.http_status = status;
    response.headers.emplace_back("Content-Type", "application/json");
    response.body = std::move(body);
    return response;
}

}  // namespace

Response Response::sync(const nlohmann::json& metadata) { return sync_text(dump(metadata)); }

Response Response::sync_text(std::string_view metadata_json) {
    constexpr std::string_view kHead =
        R"({"type":"sync","status":"Success","status_code":200,"operation":"","error_code":0,"error":"","metadata":)";
    std::string body;
    body.reserve(kHead.size() + metadata_json.size() + 2);
    body.append(kHead).append(metadata_json).append("}\n");
    return json_response(200, std::move(body));
}

Response Response::created(const std::string& location) {
    auto response = sync_text("null");
    response.http_status = 201;
    response.headers.emplace_back("Location", location);
    return response;
}

Response Response::empty() { return sync_text("{}"); }

Response Response::operation(const operations::Operation& op) {
    const std::string url = "/1.0/operations/" + op.id();
    auto body = fmt::format(
        R"({{"type":"async","status":"Operation created","status_code":100,"operation":"{}","error_code":0,"error":"","metadata":{}}})"
        "\n",
        url, dump(op.to_json()));
    auto response = json_response(202, std::move(body));
    response.headers.emplace_back("Location", url);
    return response;
}

Response Response::error(const Error& error) {
    const int code = static_cast<int>(error.status);
    auto body = fmt::format(
        R"({{"type":"error","status":"","status_code":0,"operation":"","error_code":{},"error":{},"metadata":null}})"
        "\n",
        code, dump(error.message));
    return json_response(code, std::move(body));
}

Response Response::raw(std::string bytes, const std::string& content_type) {
    Response response;
    response.headers.emplace_back("Content-Type", content_type);
    response.body = std::move(bytes);
    return response;
}

Response Response::stream(UniqueFd file, std::uint64_t bytes, const std::string& content_type) {
    std::vector<Piece> pieces;
    pieces.push_back({.file = std::move(file), .file_bytes = bytes});
    return pieces_of(std::move(pieces), content_type);
}

Response Response::pieces_of(std::vector<Piece> pieces, const std::string& content_type) {
    Response response;
    response.headers.emplace_back("Content-Type", content_type);
    response.pieces = std::move(pieces);
    return response;
}

Response Response::upgrade_done() {
    Response response;
    response.http_status = 101;
    response.upgraded = true;
    return response;
}

Response Response::with_etag(const std::string& etag) && {
    headers.emplace_back("ETag", fmt::format("\"{}\"", etag));
    return std::move(*this);
}

Response Response::with_header(std::string name, std::string value) && {
    headers.emplace_back(std::move(name), std::move(value));
    return std::move(*this);
}

std::string etag_of(const nlohmann::json& writable) {
    const std::string text = dump(writable);
    std::array<unsigned char, EVP_MAX_MD_SIZE> digest;
    unsigned size = 0;
    EVP_Digest(text.data(), text.size(), digest.data(), &size, EVP_sha256(), nullptr);
    return to_hex({reinterpret_cast<const char*>(digest.data()), size});
}

}  // namespace lxmgr::rest
