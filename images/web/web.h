#pragma once
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <optional>
#include <stop_token>
#include <string>
#include <string_view>
#include <vector>

#include "lxd-daemon/base/pieces.h"
#include "lxd-daemon/base/result.h"

/// HTTP as a client, by libcurl.
namespace lxmgr::images {

/// How servers may be reached.
struct WebAccess {
    std::string proxy_http, proxy_https;  ///< URLs; empty: what the environment says (https_proxy)
    std::string proxy_ignore_hosts;       ///< host names, with commas between, that are reached directly
    std::string pinned_certificate;       ///< PEM: the server has this one, whoever signed it; empty: a CA's
    bool allow_http = false;
    /// Loopback and link-local addresses may be connected to. A redirect to another host never leads there.
    bool allow_local = true;
};

/// What is sent with a POST; the pieces stay the caller's.
struct WebUpload {
    const std::vector<Piece>* pieces = nullptr;
    std::uint64_t size_bytes = 0;
    std::string content_type;
};

struct WebRequest {
    std::string url;
    std::vector<std::string> headers;  ///< "Name: value"
    bool head = false;
    std::optional<WebUpload> upload;  ///< makes it a POST, which is sent once and follows no redirect
    bool any_status = false;          ///< the sink gets the body of a refusal, too, and the answer says so
    bool patient = false;             ///< the server may be silent for as long as it likes
    std::uint64_t max_bytes = 0;      ///< more than that is an error
    /// Before the first piece of a body: the answer's headers, names in lower case.
    std::function<void(const std::map<std::string, std::string>& headers)> begin;
    /// Gets the body piece by piece.
    std::function<Result<>(std::string_view bytes)> sink;
    /// The body begins anew: the connection broke, and the server does not resume.
    std::function<Result<>()> restart;
    /// Bytes of the body so far, and all there will be (0: not known). Of an upload, what was sent.
    std::function<void(std::uint64_t done, std::uint64_t total)> progress;
};

/// Makes the request's sink and restart collect the body in a text, which the caller keeps.
void collect(WebRequest& request, std::string& text);

struct WebAnswer {
    long status = 0;
    std::map<std::string, std::string> headers;  ///< names in lower case
    std::uint64_t size_bytes = 0;                ///< of the body
};

/// One client: connections are kept between its requests. Redirects are followed to https only; a broken
/// connection is resumed a few times; a transfer that stands still for 30 seconds is given up. One thread.
class Web {
public:
    /// Errors: `not_found` without libcurl.
    static Result<Web> open(WebAccess access, std::stop_token stop);
    Web(Web&&) noexcept;
    ~Web();

    /// Errors: `not_found` for 404 and 410, `bad_request` for what the server or its URL got wrong,
    /// `internal` when it cannot be reached, `unavailable` when stop was requested, what the sink says.
    Result<WebAnswer> send(const WebRequest& request);
    /// A small document.
    Result<std::string> get_text(const std::string& url, std::uint64_t max_bytes);

private:
    struct Impl;
    explicit Web(std::unique_ptr<Impl> impl);
    std::unique_ptr<Impl> impl_;
};

/// A URL for error messages: without user, password and query, control characters replaced.
std::string shown_url(std::string_view url);

}  // namespace lxmgr::images
