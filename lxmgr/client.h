#pragma once
#include <initializer_list>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <string_view>
#include <vector>

#include "lxd-daemon/base/result.h"
#include "lxmgr/http.h"

/// The daemon's REST API as the commands see it: envelopes opened, operations waited for, errors as
/// sentences. Wire contract: LXD 5.0.2 (docs/reference/api, client-wire-notes).
namespace lxmgr::cli {

using Json = nlohmann::json;

/// Percent-encodes one path segment or query value (RFC 3986 unreserved characters stay).
std::string encode(std::string_view text);
/// "/1.0/<segments, each encoded>".
std::string api_path(std::initializer_list<std::string_view> segments);
std::string instance_path(std::string_view name);
/// "/1.0/instances/dev" -> "dev"; queries are cut off.
std::string last_segment(std::string_view url);

/// The path of the daemon's socket: $LXMGR_SOCKET, else $LXMGR_DIR/unix.socket, else
/// /var/lib/lxmgr/unix.socket.
std::string default_socket_path();

/// An answer that was not an error. For an asynchronous one `operation` is its URL and the metadata is the
/// operation.
struct Answer {
    Json metadata;
    std::string etag;
    std::string operation;  ///< empty: the request is done
    std::string location;
};

/// How a long request shows that it goes on. Used by Client::wait().
struct Waiting {
    std::string doing;  ///< "Starting dev"; empty: quiet
};

class Client {
public:
    explicit Client(Server server);

    [[nodiscard]] const Server& server() const { return http_.server(); }
    /// Any request; does not wait for an operation.
    /// Errors: the daemon's own status and sentence; `unavailable` when it cannot be reached.
    Result<Answer> send(HttpRequest request);
    /// send() with a JSON body (null: none) and, unless empty, If-Match.
    Result<Answer> send(std::string_view method, const std::string& path, const Json& body,
                        const std::string& etag = {});
    /// Metadata of a GET.
    Result<Json> get(const std::string& path);
    /// get() for an object that is to be changed: metadata and ETag.
    Result<Answer> fetch(const std::string& path);
    /// send(), and if the answer is an operation, waits for its success. Returns the sync metadata or the
    /// operation.
    Result<Json> call(std::string_view method, const std::string& path, const Json& body,
                      const Waiting& waiting = {}, const std::string& etag = {});
    /// Waits until the operation is final. Errors: its failure as status `internal` or what its status code
    /// says.
    Result<Json> wait(const std::string& operation_url, const Waiting& waiting);
    /// finish() for an answer of send(): waits when it is an operation.
    Result<Json> finish(const Answer& answer, const Waiting& waiting);
    /// An answer whose body is a file. Errors as send().
    Result<std::unique_ptr<HttpResponse>> open(const HttpRequest& request);
    Http& http() { return http_; }

private:
    Http http_;
};

/// Opens an envelope: the error of an error reply, else its parts.
Result<Answer> open_envelope(unsigned http_status, const std::string& body);
/// A final operation object as a Result: itself, or its failure.
Result<Json> operation_outcome(const Json& operation);

}  // namespace lxmgr::cli
