#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <boost/asio/co_spawn.hpp>
#include <boost/asio/detached.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <cstring>

#include "lxd-daemon/base/log.h"
#include "lxd-daemon/base/strings.h"
#include "lxd-daemon/rest/connection.h"
#include "lxd-daemon/rest/services.h"

namespace lxmgr::rest {
namespace asio = boost::asio;
using boost::system::error_code;
using Acceptor = asio::local::stream_protocol::acceptor;

struct Server::Impl : std::enable_shared_from_this<Impl> {
    Impl(Services& services, const Router& router, Limits limits, std::string guest)
        : hosting(std::make_shared<Hosting>(Hosting{.services = services,
                                                    .router = router,
                                                    .limits = limits,
                                                    .guest = std::move(guest),
                                                    .allowance = double(limits.requests_per_second)})),
          sweep_timer(services.io) {}

    std::shared_ptr<Hosting> hosting;
    std::list<Acceptor> acceptors;
    asio::steady_timer sweep_timer;
    bool sweeping = false;

    static asio::awaitable<void> accept_loop(std::shared_ptr<Impl> self, Acceptor& acceptor);
    static asio::awaitable<void> sweep_loop(std::shared_ptr<Impl> self);
    void admit(Socket socket, std::shared_ptr<Remote> remote = nullptr);
    bool make_room();
};

namespace {

/// The answer to a client that came when all places are taken, sent as far as the socket takes it.
void refuse(Socket& socket) {
    constexpr std::string_view kAnswer =
        "HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Type: application/json\r\n"
        "Content-Length: 138\r\n\r\n"
        R"({"type":"error","status":"","status_code":0,"operation":"","error_code":503,"error":"Too many connections, try again","metadata":null}   )"
        "\n";
    (void)::send(socket.native_handle(), kAnswer.data(), kAnswer.size(), MSG_DONTWAIT | MSG_NOSIGNAL);
}

/// A local client's next question comes about that soon.
constexpr std::chrono::microseconds kAttention{50};

/// While something is posted the context asks for events without waiting for them.
void look_again(const std::shared_ptr<Hosting>& hosting) {
    hosting->awake = std::chrono::steady_clock::now() < hosting->awake_until;
    if (hosting->awake) asio::post(hosting->services.io, [hosting] { look_again(hosting); });
}

}  // namespace

Result<Lease> take_lease(const std::shared_ptr<Hosting>& hosting) {
    if (hosting->upgraded >= hosting->limits.max_upgraded) {
        return fail(Status::unavailable, "Too many websockets are open, try again");
    }
    ++hosting->upgraded;
    return Lease(hosting.get(), [hosting](void*) { --hosting->upgraded; });
}

std::chrono::milliseconds take_request(Hosting& hosting) {
    const unsigned rate = hosting.limits.requests_per_second;
    if (rate == 0) return {};
    const auto time = std::chrono::steady_clock::now();
    const std::chrono::duration<double> passed = time - hosting.allowance_at;
    hosting.allowance = std::min<double>(rate, hosting.allowance + passed.count() * rate);
    hosting.allowance_at = time;
    if (hosting.allowance < 1) return std::chrono::milliseconds(1 + 1000 / rate);
    hosting.allowance -= 1;
    return {};
}

asio::awaitable<void> pace(std::shared_ptr<Hosting> hosting) {
    for (auto wait = take_request(*hosting); wait.count() > 0; wait = take_request(*hosting)) {
        asio::steady_timer timer(hosting->services.io, wait);
        error_code error;
        auto waiting = timer.async_wait(asio::redirect_error(asio::use_awaitable, error));
        co_await std::move(waiting);
    }
}

void stay_awake(const std::shared_ptr<Hosting>& hosting) {
    if (!hosting->guest.empty()) return;
    hosting->awake_until = std::chrono::steady_clock::now() + kAttention;
    if (!hosting->awake) look_again(hosting);
}

bool Server::Impl::make_room() {
    auto& all = hosting->connections;
    if (all.size() < hosting->limits.max_connections) return true;
    Connection* oldest = nullptr;
    for (Connection* connection : all) {
        if (connection->idle && (oldest == nullptr || connection->idle_since < oldest->idle_since))
            oldest = connection;
    }
    if (oldest == nullptr) return false;
    oldest->idle = false;
    oldest->abort();
    return true;
}

void Server::Impl::admit(Socket socket, std::shared_ptr<Remote> remote) {
    if (!make_room()) return refuse(socket);
    start_connection(hosting, std::move(socket), std::move(remote));
    if (std::exchange(sweeping, true)) return;
    asio::co_spawn(hosting->services.io, sweep_loop(shared_from_this()), asio::detached);
}

asio::awaitable<void> Server::Impl::accept_loop(std::shared_ptr<Impl> self, Acceptor& acceptor) {
    asio::steady_timer pause(self->hosting->services.io);
    for (;;) {
        error_code error;
        auto pending = acceptor.async_accept(asio::redirect_error(asio::use_awaitable, error));
        Socket socket = co_await std::move(pending);
        if (!acceptor.is_open() || error == asio::error::operation_aborted) co_return;
        if (!error) {
            self->admit(std::move(socket));
            auto pacing = pace(self->hosting);
            co_await std::move(pacing);
            if (!acceptor.is_open()) co_return;
            continue;
        }
        // Out of descriptors or memory: clients stay in the backlog until some are free again.
        log::warn("cannot accept a connection", {{"error", error.message()}});
        pause.expires_after(std::chrono::milliseconds(100));
        auto wait = pause.async_wait(asio::redirect_error(asio::use_awaitable, error));
        co_await std::move(wait);
    }
}

/// Once a second while there are connections; an idle daemon has no timer running.
asio::awaitable<void> Server::Impl::sweep_loop(std::shared_ptr<Impl> self) {
    while (!self->hosting->connections.empty()) {
        error_code error;
        self->sweep_timer.expires_after(std::chrono::seconds(1));
        auto wait = self->sweep_timer.async_wait(asio::redirect_error(asio::use_awaitable, error));
        co_await std::move(wait);
        const auto time = std::chrono::steady_clock::now();
        for (Connection* connection : self->hosting->connections) {
            if (connection->deadline <= time) connection->abort();
        }
    }
    self->sweeping = false;
}

Server::Server(Services& services, const Router& router, Limits limits, std::string guest)
    : impl_(std::make_shared<Impl>(services, router, limits, std::move(guest))) {}

Server::~Server() { close(); }

void Server::listen(UniqueFd listening_socket) {
    auto& io = impl_->hosting->services.io;
    Acceptor& acceptor = impl_->acceptors.emplace_back(io);
    acceptor.assign(asio::local::stream_protocol(), listening_socket.release());
    asio::co_spawn(io, Impl::accept_loop(impl_, acceptor), asio::detached);
}

void Server::serve(UniqueFd connection, std::shared_ptr<Remote> remote) {
    Socket socket(impl_->hosting->services.io);
    socket.assign(asio::local::stream_protocol(), connection.release());
    impl_->admit(std::move(socket), std::move(remote));
}

void Server::drain() {
    impl_->hosting->draining = true;
    error_code ignored;
    for (auto& acceptor : impl_->acceptors) acceptor.close(ignored);
    for (Connection* connection : impl_->hosting->connections) {
        if (connection->idle) connection->abort();
    }
}

void Server::close() {
    drain();
    for (Connection* connection : impl_->hosting->connections) connection->abort();
    impl_->sweep_timer.cancel();
}

std::size_t Server::connections() const { return impl_->hosting->connections.size(); }

Result<UniqueFd> listen_unix(const std::string& path, unsigned mode, unsigned gid) {
    const std::string temporary = path + "." + random_hex(4);
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (temporary.size() >= sizeof address.sun_path) {
        return fail(Status::bad_request, "The path of the socket is too long: " + path);
    }
    std::memcpy(address.sun_path, temporary.data(), temporary.size());
    UniqueFd fd(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0));
    if (!fd) return fail_errno("socket", path);
    if (::bind(fd.get(), reinterpret_cast<const sockaddr*>(&address), sizeof address) != 0)
        return fail_errno("bind", path);
    Revert undo;
    undo.add([&] { ::unlink(temporary.c_str()); });
    // The owner first: chmod after chown, for chown may clear bits.
    if (::chown(temporary.c_str(), 0, gid) != 0) return fail_errno("chown", path);
    if (::chmod(temporary.c_str(), mode) != 0) return fail_errno("chmod", path);
    if (::listen(fd.get(), 1024) != 0) return fail_errno("listen", path);
    if (::rename(temporary.c_str(), path.c_str()) != 0) return fail_errno("Renaming the socket to", path);
    undo.commit();
    return fd;
}

}  // namespace lxmgr::rest
