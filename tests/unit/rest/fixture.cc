#include "tests/unit/rest/fixture.h"

#include <fmt/format.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <boost/asio/post.hpp>
#include <cstring>
#include <future>

#include "lxd-daemon/base/files.h"
#include "lxd-daemon/base/strings.h"

namespace lxmgr::rest::testing_support {
namespace {

std::string make_root() {
    std::string path = "/tmp/lxmgr-rest-XXXXXX";
    EXPECT_NE(::mkdtemp(path.data()), nullptr);
    EXPECT_EQ(::mkdir((path + "/tmp").c_str(), 0700), 0);
    return path;
}

}  // namespace

std::string Answer::header(const std::string& name) const {
    const std::string lower = to_lower(head);
    const auto at = lower.find("\r\n" + to_lower(name) + ": ");
    if (at == std::string::npos) return "";
    const auto start = at + name.size() + 4;
    return head.substr(start, head.find("\r\n", start) - start);
}

Client::Client(const std::string& socket_path) : fd_(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    std::strncpy(address.sun_path, socket_path.c_str(), sizeof address.sun_path - 1);
    const timeval limit{.tv_sec = 60, .tv_usec = 0};
    ::setsockopt(fd_.get(), SOL_SOCKET, SO_RCVTIMEO, &limit, sizeof limit);
    ::setsockopt(fd_.get(), SOL_SOCKET, SO_SNDTIMEO, &limit, sizeof limit);
    EXPECT_EQ(::connect(fd_.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0) << socket_path;
}

bool Client::try_send(std::string_view bytes) {
    while (!bytes.empty()) {
        const ssize_t n = ::send(fd_.get(), bytes.data(), bytes.size(), MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return false;
        bytes.remove_prefix(static_cast<std::size_t>(n));
    }
    return true;
}

void Client::send(std::string_view bytes) { EXPECT_TRUE(try_send(bytes)) << std::strerror(errno); }

bool Client::fill() {
    std::array<char, 65536> buffer;
    ssize_t n = 0;
    do n = ::recv(fd_.get(), buffer.data(), buffer.size(), 0);
    while (n < 0 && errno == EINTR);  // sockets with a timeout are not restarted, signal(7)
    if (n <= 0) return false;
    in_.append(buffer.data(), static_cast<std::size_t>(n));
    return true;
}

Answer Client::receive(bool head_only) {
    Answer answer;
    std::size_t end = 0;
    while ((end = in_.find("\r\n\r\n")) == std::string::npos) {
        if (!fill()) return answer;
    }
    answer.head = in_.substr(0, end + 2);
    in_.erase(0, end + 4);
    answer.status = std::stoi(answer.head.substr(9, 3));
    const std::string length = answer.header("Content-Length");
    const std::size_t size = head_only || length.empty() ? 0 : std::stoul(length);
    while (in_.size() < size) {
        if (!fill()) return {};
    }
    answer.body = in_.substr(0, size);
    in_.erase(0, size);
    return answer;
}

Answer Client::request(const std::string& method, const std::string& target, const std::string& body,
                       const std::string& headers) {
    const std::string length = body.empty() ? "" : fmt::format("Content-Length: {}\r\n", body.size());
    send(fmt::format("{} {} HTTP/1.1\r\nHost: unix.socket\r\n{}{}\r\n{}", method, target, headers, length,
                     body));
    return receive(method == "HEAD");
}

bool Client::is_closed_by_server() {
    char byte = 0;
    const ssize_t n = ::recv(fd_.get(), &byte, 1, 0);
    return in_.empty() && (n == 0 || (n < 0 && errno == ECONNRESET));
}

std::string Client::read_some() {
    if (in_.empty()) fill();
    return std::exchange(in_, {});
}

void Client::finish_sending() { ::shutdown(fd_.get(), SHUT_WR); }

bool Client::upgrade_to_websocket(const std::string& target) {
    send(
        fmt::format("GET {} HTTP/1.1\r\nHost: unix.socket\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
                    "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n",
                    target));
    const auto answer = receive(/*head_only=*/true);
    // The value RFC 6455, section 1.3 gives for this key.
    return answer.status == 101 && answer.header("Sec-WebSocket-Accept") == "s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
}

void Client::send_frame(int opcode, std::string_view payload) {
    std::string frame(1, static_cast<char>(0x80 | opcode));
    if (payload.size() < 126) {
        frame += static_cast<char>(0x80 | payload.size());
    } else {
        frame += static_cast<char>(0x80 | 127);
        for (int shift = 56; shift >= 0; shift -= 8)
            frame += static_cast<char>((payload.size() >> shift) & 0xff);
    }
    constexpr std::string_view kMask = "\x11\x22\x33\x44";
    frame += kMask;
    for (std::size_t i = 0; i < payload.size(); ++i) frame += static_cast<char>(payload[i] ^ kMask[i % 4]);
    (void)try_send(frame);
}

Client::Frame Client::receive_frame() {
    const auto need = [this](std::size_t size) {
        while (in_.size() < size) {
            if (!fill()) return false;
        }
        return true;
    };
    const auto at = [this](std::size_t i) { return static_cast<unsigned char>(in_[i]); };
    if (!need(2)) return {};
    std::size_t head = 2;
    std::size_t size = at(1) & 0x7fU;
    if (size >= 126) {
        const std::size_t extra = size == 126 ? 2 : 8;
        if (!need(2 + extra)) return {};
        size = 0;
        for (std::size_t i = 0; i < extra; ++i) size = size << 8U | at(2 + i);
        head += extra;
    }
    if (!need(head + size)) return {};
    Frame frame{at(0) & 0x0f, in_.substr(head, size)};
    in_.erase(0, head + size);
    return frame;
}

Client::Frame Client::receive_message() {
    for (;;) {
        auto frame = receive_frame();
        if (frame.opcode != 9) return frame;
    }
}

TestDaemon::TestDaemon(std::vector<std::span<const Route>> tables, Limits limits)
    : services{.root = make_root(), .io = io, .workers = workers, .operations = registry, .hub = hub},
      router_(tables),
      server_(std::make_unique<Server>(services, router_, limits)) {
    auto socket = listen_unix(socket_path(), 0660, 0);
    EXPECT_TRUE(socket.has_value());
    server_->listen(std::move(*socket));
    thread_ = std::thread([this] { io.run(); });
}

TestDaemon::~TestDaemon() {
    on_io([this] { server_->close(); });
    guard_.reset();
    thread_.join();  // ends only when every connection, timer and websocket has ended: the leak check
    server_.reset();
    EXPECT_TRUE(remove_tree(services.root).has_value());
}

void TestDaemon::on_io(std::function<void()> work) {
    std::promise<void> done;
    boost::asio::post(io, [&] {
        work();
        done.set_value();
    });
    done.get_future().wait();
}

std::size_t TestDaemon::connections() {
    std::size_t count = 0;
    on_io([&] { count = server_->connections(); });
    return count;
}

}  // namespace lxmgr::rest::testing_support
