#pragma once
#include <functional>
#include <mutex>
#include <string>
#include <thread>
#include <vector>

#include "lxd-daemon/base/own.h"
#include "lxmgr/editor.h"

namespace lxmgr::cli {

/// A server on a unix socket in a temporary directory that says what a test wants, hostile things included.
class FakeDaemon {
public:
    struct Request {
        std::string method, target, head, body;
    };
    /// Returns the raw answer; a request body is read only when `wants_body` agrees. An empty answer closes
    /// the connection.
    using Handler = std::function<std::string(const Request& request)>;

    explicit FakeDaemon(Handler handler, bool wants_body = true);
    FakeDaemon(FakeDaemon&&) = delete;
    ~FakeDaemon();

    [[nodiscard]] std::string socket_path() const { return directory_.path() + "/s"; }
    std::vector<Request> requests();
    [[nodiscard]] int connections();

private:
    void serve();
    void serve_connection(int fd);
    bool read_body(int fd, Request& request, std::string& rest) const;

    TemporaryDirectory directory_;
    Handler handler_;
    bool wants_body_;
    UniqueFd listener_;
    std::mutex mutex_;
    std::vector<Request> requests_;
    std::vector<int> open_;
    int connections_ = 0;
    std::vector<std::jthread> threads_;
    std::jthread acceptor_;
};

/// "HTTP/1.1 <status> X" with Content-Length and the given header lines ("A: b\r\n").
std::string answer(int status, const std::string& body, const std::string& headers = {});
/// A sync envelope around JSON text.
std::string sync_answer(const std::string& metadata, const std::string& headers = {});
std::string error_answer(int status, const std::string& message);
/// A 202 that names operation "op".
std::string operation_answer();

}  // namespace lxmgr::cli
