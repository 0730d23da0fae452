#include "tests/unit/lxmgr/fake_daemon.h"

#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/un.h>

#include <cstdlib>
#include <cstring>

namespace lxmgr::cli {
namespace {

bool receive(int fd, std::string& into) {
    char buffer[65536];
    const ssize_t n = ::recv(fd, buffer, sizeof buffer, 0);
    if (n > 0) into.append(buffer, static_cast<std::size_t>(n));
    return n > 0;
}

bool send_all(int fd, const std::string& bytes) {
    std::size_t done = 0;
    while (done < bytes.size()) {
        const ssize_t n = ::send(fd, bytes.data() + done, bytes.size() - done, MSG_NOSIGNAL);
        if (n <= 0) return false;
        done += static_cast<std::size_t>(n);
    }
    return true;
}

}  // namespace

FakeDaemon::FakeDaemon(Handler handler, bool wants_body)
    : directory_(*TemporaryDirectory::create()),
      handler_(std::move(handler)),
      wants_body_(wants_body),
      listener_(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, socket_path().c_str(), sizeof address.sun_path - 1);
    if (::bind(listener_.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
        std::abort();
    if (::listen(listener_.get(), 16) != 0) std::abort();
    acceptor_ = std::jthread([this] { serve(); });
}

FakeDaemon::~FakeDaemon() {
    ::shutdown(listener_.get(), SHUT_RDWR);
    acceptor_.join();
    {
        const std::lock_guard lock(mutex_);
        for (const int fd : open_) ::shutdown(fd, SHUT_RDWR);
    }
    threads_.clear();
    for (const int fd : open_) ::close(fd);
}

std::vector<FakeDaemon::Request> FakeDaemon::requests() {
    const std::lock_guard lock(mutex_);
    return requests_;
}

int FakeDaemon::connections() {
    const std::lock_guard lock(mutex_);
    return connections_;
}

void FakeDaemon::serve() {
    for (;;) {
        const int fd = ::accept4(listener_.get(), nullptr, nullptr, SOCK_CLOEXEC);
        if (fd < 0) return;
        const std::lock_guard lock(mutex_);
        ++connections_;
        open_.push_back(fd);
        threads_.emplace_back([this, fd] { serve_connection(fd); });
    }
}

bool FakeDaemon::read_body(int fd, Request& request, std::string& rest) const {
    if (!wants_body_) return true;
    const auto chunked = request.head.find("Transfer-Encoding: chunked") != std::string::npos;
    const auto at = request.head.find("Content-Length: ");
    const std::size_t size =
        at == std::string::npos ? 0 : std::strtoul(request.head.c_str() + at + 16, nullptr, 10);
    const auto complete = [&] { return chunked ? rest.ends_with("0\r\n\r\n") : rest.size() >= size; };
    while (!complete()) {
        if (!receive(fd, rest)) return false;
    }
    request.body = chunked ? std::exchange(rest, {}) : rest.substr(0, size);
    if (!chunked) rest.erase(0, size);
    return true;
}

void FakeDaemon::serve_connection(int fd) {
    std::string rest;
    for (;;) {
        while (rest.find("\r\n\r\n") == std::string::npos) {
            if (!receive(fd, rest)) return;
        }
        Request request;
        request.head = rest.substr(0, rest.find("\r\n\r\n") + 4);
        rest.erase(0, request.head.size());
        request.method = request.head.substr(0, request.head.find(' '));
        request.target = request.head.substr(request.method.size() + 1);
        request.target.resize(request.target.find(' '));
        if (!read_body(fd, request, rest)) return;
        {
            const std::lock_guard lock(mutex_);
            requests_.push_back(request);
        }
        const std::string reply = handler_(request);
        if (!reply.empty() && !send_all(fd, reply)) return;
        if (reply.empty() || !wants_body_ || reply.find("Connection: close") != std::string::npos) {
            ::shutdown(fd, SHUT_RDWR);
            return;
        }
    }
}

std::string answer(int status, const std::string& body, const std::string& headers) {
    return fmt::format("HTTP/1.1 {} X\r\n{}Content-Length: {}\r\n\r\n{}", status, headers, body.size(), body);
}

std::string sync_answer(const std::string& metadata, const std::string& headers) {
    return answer(
        200,
        fmt::format(R"({{"type":"sync","status":"Success","status_code":200,"operation":"","error_code":0,)"
                    R"("error":"","metadata":{}}})",
                    metadata),
        headers);
}

std::string error_answer(int status, const std::string& message) {
    return answer(
        status, fmt::format(R"({{"type":"error","status":"","status_code":0,"operation":"","error_code":{},)"
                            R"("error":"{}","metadata":null}})",
                            status, message));
}

std::string operation_answer() {
    return answer(
        202,
        R"({"type":"async","status":"Operation created","status_code":100,"operation":"/1.0/operations/op",)"
        R"("error_code":0,"error":"","metadata":{"id":"op","status_code":103}})");
}

}  // namespace lxmgr::cli
