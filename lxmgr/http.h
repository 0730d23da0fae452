#pragma once
#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <utility>
#include <vector>

#include "lxd-daemon/base/result.h"
#include "lxmgr/server.h"

/// HTTP/1.1 over one connection: what client.h stands on. Boost stays in http.cc.
namespace lxmgr::cli {

using Header = std::pair<std::string, std::string>;

/// A request body that is given piece by piece, so that its size does not matter.
struct Upload {
    /// Fills the buffer and returns how many bytes it put there; 0 is the end.
    std::function<Result<std::size_t>(std::span<char>)> read;
    std::optional<std::uint64_t> size_bytes;  ///< none: sent chunked
};

struct HttpRequest {
    std::string method;  ///< "GET", "HEAD", ...
    std::string target;  ///< encoded path and query
    std::vector<Header> headers;
    std::string body;
    Upload* upload = nullptr;  ///< when set it is sent instead of `body`
};

/// An answer whose head has arrived; its body is read by the caller as it comes.
class HttpResponse {
public:
    HttpResponse() = default;
    HttpResponse(HttpResponse&&) = delete;
    virtual ~HttpResponse() = default;
    [[nodiscard]] virtual unsigned status() const = 0;
    /// Empty when absent; names match without case.
    [[nodiscard]] virtual std::string header(std::string_view name) const = 0;
    /// Next bytes of the body; 0 is its end. Errors: `unavailable` when the daemon goes away in the middle.
    virtual Result<std::size_t> read(std::span<char> buffer) = 0;
    /// The rest of the body. Errors: `too_large` beyond the limit.
    Result<std::string> read_all(std::size_t max_bytes = std::size_t{256} << 20);
};

/// Requests one after the other over a connection that is kept and, when the daemon closed it, made again.
class Http {
public:
    explicit Http(Server server);
    Http(Http&&) noexcept;
    ~Http();
    /// Sends and waits for the head of the answer. Errors: `unavailable`, in words for the user.
    Result<std::unique_ptr<HttpResponse>> send(const HttpRequest& request);
    [[nodiscard]] const Server& server() const { return server_; }

private:
    struct Stream;
    class Response;
    Result<> ensure_connected();
    Server server_;
    std::shared_ptr<Stream> stream_;
};

/// The target with ?project=, unless it names one. An empty project: as it is.
std::string for_project(const std::string& target, const std::string& project);

/// What to tell the user when connecting to the daemon's socket failed with this errno.
Error connect_error(const std::string& socket_path, int error);

}  // namespace lxmgr::cli
