#include "lxd-daemon/instances/sftp/sessions.h"

#include <fcntl.h>
#include <sys/socket.h>

#include <chrono>
#include <condition_variable>
#include <map>
#include <mutex>
#include <thread>

#include "lxd-daemon/base/log.h"
#include "lxd-daemon/instances/sftp/server.h"

namespace lxmgr::instances::sftp {
namespace {

constexpr std::size_t kMaxSessions = 200;
/// What the daemon's end waits for a request that is being served.
constexpr std::chrono::seconds kLastRequest{2};

bool receive_all(int connection, char* to, std::size_t size) {
    while (size > 0) {
        const ssize_t n = ::recv(connection, to, size, 0);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return false;
        to += n;
        size -= static_cast<std::size_t>(n);
    }
    return true;
}

bool send_all(int connection, std::string_view bytes) {
    while (!bytes.empty()) {
        const ssize_t n = ::send(connection, bytes.data(), bytes.size(), MSG_NOSIGNAL);
        if (n < 0 && errno == EINTR) continue;
        if (n <= 0) return false;
        bytes.remove_prefix(static_cast<std::size_t>(n));
    }
    return true;
}

void converse(int connection, InstanceRoot root) {
    Server server(std::move(root));
    std::string packet;
    for (;;) {
        char length[4];
        if (!receive_all(connection, length, sizeof length)) return;
        const std::uint32_t size = PacketReader({length, sizeof length}).u32();
        if (size == 0 || size > Server::kMaxPacket) return;
        packet.resize(size);
        if (!receive_all(connection, packet.data(), size)) return;
        const std::string reply = server.handle(packet);
        if (reply.empty() || !send_all(connection, reply)) return;
    }
}

}  // namespace

struct Sessions::State {
    struct Session {
        std::string instance;
        UniqueFd connection;
    };
    std::mutex mutex;
    std::condition_variable ended;
    std::map<std::uint64_t, Session> sessions;
    std::uint64_t next_id = 0;
};

Sessions::Sessions() : state_(std::make_shared<State>()) {}

Result<> Sessions::serve(const std::string& instance, UniqueFd connection, InstanceRoot root) {
    const int flags = ::fcntl(connection.get(), F_GETFL);
    if (flags < 0 || ::fcntl(connection.get(), F_SETFL, flags & ~O_NONBLOCK) != 0)
        return fail_errno("fcntl", "an SFTP connection");
    const std::lock_guard lock(state_->mutex);
    if (state_->sessions.size() >= kMaxSessions) return fail(Status::unavailable, "Too many SFTP clients");
    const std::uint64_t id = state_->next_id++;
    const int fd = connection.get();
    state_->sessions.emplace(id, State::Session{instance, std::move(connection)});
    std::thread([state = state_, id, fd, root = std::move(root)]() mutable {
        run(state, id, fd, std::move(root));
    }).detach();
    return {};
}

void Sessions::run(const std::shared_ptr<State>& state, std::uint64_t id, int connection, InstanceRoot root) {
    try {
        converse(connection, std::move(root));
    } catch (const std::exception& bug) {
        log::error("exception in an SFTP session", {{"what", bug.what()}});
    }
    const std::lock_guard lock(state->mutex);
    state->sessions.erase(id);
    state->ended.notify_all();
}

void Sessions::end(const std::string& instance) {
    const std::lock_guard lock(state_->mutex);
    for (const auto& [id, session] : state_->sessions) {
        if (session.instance == instance) ::shutdown(session.connection.get(), SHUT_RDWR);
    }
}

Sessions::~Sessions() {
    std::unique_lock lock(state_->mutex);
    for (const auto& [id, session] : state_->sessions) ::shutdown(session.connection.get(), SHUT_RDWR);
    state_->ended.wait_for(lock, kLastRequest, [this] { return state_->sessions.empty(); });
}

}  // namespace lxmgr::instances::sftp
