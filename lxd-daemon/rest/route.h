#pragma once
#include <boost/asio/awaitable.hpp>
#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "lxd-daemon/auth/identity.h"
#include "lxd-daemon/base/own.h"
#include "lxd-daemon/base/pieces.h"
#include "lxd-daemon/base/result.h"
#include "lxd-daemon/operations/operation.h"
#include "lxd-daemon/rest/on_worker.h"

namespace lxmgr::images {
class TrailingHash;
}

/// How an endpoint is written: a table of Routes per entity, gathered in routes.cc.
namespace lxmgr::rest {

struct Services;
class Upgrade;   ///< the raw connection of a request with "Upgrade:", see upgrade.h
class Peer;      ///< the other end of the connection, see upgrade.h
class Incoming;  ///< the body of a request that is still to come, see upgrade.h
struct Remote;   ///< the client behind TLS, see remote.h

enum class Verb { get, head, post, put, patch, del };

/// Who may call. The access column of a route has no default: leaving it out does not compile. authorise.cc
/// says what each means.
enum class Access {
    anyone,         ///< the untrusted too: the handler shows them what is public
    authenticated,  ///< every trusted client; the handler shows it what it may see
    can_view,       ///< whoever may use the project
    can_edit,       ///< the same
    can_push,       ///< can_edit, or whoever has the secret with which this server waits for an image
    metrics,        ///< as can_view, and certificates for metrics
    admin,          ///< a client that is not restricted to projects
    local           ///< the unix socket only
};

/// Where the bytes of a big body are: streamed to a file before the handler runs (routes with `Body::file`).
/// Whoever keeps the pointer (an operation's body) keeps the file; the last owner removes it
/// unless it was moved away by then.
struct BodyFile {
    BodyFile() = default;
    BodyFile(BodyFile&&) = delete;
    ~BodyFile();
    UniqueFd fd;                       ///< read-write, positioned at 0
    std::string path;                  ///< mode 0600; empty: a file without a name, from the route's Place
    std::shared_ptr<const void> held;  ///< what keeps its directory where it is
    std::uint64_t size_bytes = 0;
    std::string part_name;  ///< of a multipart part ("metadata", "rootfs"); empty for a plain body
    std::string filename;   ///< of a multipart part, last path component only
};

struct Request {
    Verb verb = Verb::get;
    std::string path;                          ///< decoded segments joined, without query
    bool old_names = false;                    ///< asked for as /1.0/containers: lists answer in kind
    std::map<std::string, std::string> args;   ///< {name} parts of the route, percent-decoded
    std::map<std::string, std::string> query;  ///< decoded; the first of several wins
    std::vector<std::pair<std::string, std::string>> headers;  ///< names in lower case
    std::string body;                                          ///< JSON routes: at most 1 MiB
    std::vector<std::shared_ptr<BodyFile>> files;  ///< routes with Body::file: one, or one per multipart part
    std::shared_ptr<images::TrailingHash>
        files_hash;  ///< of their bytes, one file after the other; null: nobody makes it
    std::string content_type;
    std::string guest;                ///< the instance that asks about itself; empty: an administrator asks
    std::string project = "default";  ///< that is asked for; names in `args` are keys then (rest/projects.h)
    bool all_projects = false;        ///< a list of all that the caller sees
    auth::Identity identity;          ///< untrusted unless the session says otherwise
    const Remote* remote = nullptr;   ///< null: a unix socket
    std::string requestor_json;       ///< {"username","protocol","address"} of the peer
    Upgrade* upgrade = nullptr;       ///< set when the client asked for an upgrade
    Peer* peer = nullptr;             ///< null in tests that call a handler directly
    Incoming* incoming = nullptr;     ///< a backup that the handler takes in; null: there is none

    [[nodiscard]] const std::string& path_arg(const std::string& name) const;  ///< must exist
    [[nodiscard]] std::string query_or(const std::string& name, std::string fallback) const;
    /// Header by lower-case name; for "x-lxd-foo" also finds "x-incus-foo".
    [[nodiscard]] std::optional<std::string> header(std::string_view name) const;
    /// The body as a JSON object; empty body, "" and null give an empty object. Errors: `bad_request`.
    [[nodiscard]] Result<nlohmann::json> json() const;
    /// recursion=0, 1 or 2.
    [[nodiscard]] int recursion() const;
    /// If-Match without quotes; empty: no check asked for.
    [[nodiscard]] std::string if_match() const;
};

/// What goes back. Built by the named constructors only, so that envelopes are the same everywhere.
struct Response {
    int http_status = 200;
    std::vector<std::pair<std::string, std::string>> headers;
    std::string body;           ///< complete JSON envelope or raw bytes
    std::vector<Piece> pieces;  ///< when there are any: streamed after the head instead of body
    bool upgraded = false;      ///< the handler took the connection over (Upgrade); nothing is written

    static Response sync(const nlohmann::json& metadata);
    /// As sync() with metadata that is JSON text already (large lists, cached objects).
    static Response sync_text(std::string_view metadata_json);
    static Response created(const std::string& location);        ///< 201, Location, metadata null
    static Response empty();                                     ///< 200, metadata {}
    static Response operation(const operations::Operation& op);  ///< 202, Location
    static Response error(const Error& error);
    static Response raw(std::string bytes, const std::string& content_type);
    static Response stream(UniqueFd file, std::uint64_t bytes, const std::string& content_type);
    static Response pieces_of(std::vector<Piece> pieces, const std::string& content_type);
    static Response upgrade_done();                  ///< after Upgrade took the connection over
    Response with_etag(const std::string& etag) &&;  ///< adds the quotes
    Response with_header(std::string name, std::string value) &&;
};

using Handled = boost::asio::awaitable<Result<Response>>;
using Handler = Handled (*)(const Request& request, Services& services);

/// How a route takes its body. `json`: into Request::body, at most 1 MiB. `file`: into Request::files, one
/// per part of a multipart/form-data body; a body of type application/json still goes to Request::body.
/// `raw_file`: into one file whatever its type (files API).
enum class Body {
    json,
    file,
    raw_file,
    backup  ///< Request::incoming when it is application/octet-stream, else json
};

/// Where the body of a `raw_file` route is to be written in place of STATE/tmp, so that it need not be copied
/// from there; invalid: nowhere. Blocking, runs on a worker before the body is read.
using Place = UniqueFd (*)(const Request& request, Services& services);

struct Route {
    Verb verb;
    std::string_view pattern;  ///< "/1.0/instances/{name}/state"
    Access access;
    Handler handler;
    Body body = Body::json;
    Place place = nullptr;
};

/// The ETag of an object: lower-case hex SHA-256 of the text of its writable fields.
std::string etag_of(const nlohmann::json& writable);
/// `precondition_failed` when If-Match is given and differs.
Result<> check_etag(const Request& request, const std::string& etag);
/// The same with what Request::if_match() gave.
Result<> check_match(const std::string& wanted, const std::string& etag);

/// That enter_project() has made ?project= to Request::project. Errors: `not_found`.
Result<> check_project(const Request& request);
/// LXD's `filter=` over a JSON array of objects (e.g. "status eq Running and name eq ^web"), api_filtering.
/// Errors: `bad_request` naming the part that was not understood.
Result<nlohmann::json> apply_filter(const std::string& filter, nlohmann::json objects);

}  // namespace lxmgr::rest
