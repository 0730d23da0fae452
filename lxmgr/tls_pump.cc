#include "lxmgr/tls_pump.h"

#include <fcntl.h>
#include <openssl/err.h>
#include <poll.h>
#include <sys/socket.h>

#include <array>
#include <cerrno>
#include <string>

namespace lxmgr::cli {
namespace {

void set_nonblocking(int fd) { ::fcntl(fd, F_SETFL, ::fcntl(fd, F_GETFL) | O_NONBLOCK); }

/// One pass over both directions; each holds what the other side has not taken yet.
class Pump {
public:
    Pump(SSL* ssl, int tcp, int local) : ssl_(ssl), tcp_(tcp), local_(local) {}

    void run() {
        while (true) {
            while (!over_ && (read_tls() || write_local() || read_local() || write_tls())) {
            }
            if (over_) return;
            if (local_ended_ && to_tls_.empty()) return say_goodbye();
            if (tls_ended_ && to_local_.empty()) return;
            wait();
        }
    }

private:
    /// True when the step got on; sets what to wait for otherwise.
    bool outcome(int result) {
        switch (SSL_get_error(ssl_, result)) {
            case SSL_ERROR_WANT_READ:
                return false;
            case SSL_ERROR_WANT_WRITE:
                wants_write_ = true;
                return false;
            default:
                ERR_clear_error();
                tls_ended_ = true;
                return false;
        }
    }
    bool read_tls() {
        if (!to_local_.empty() || tls_ended_) return false;
        const int size = SSL_read(ssl_, buffer_.data(), static_cast<int>(buffer_.size()));
        if (size <= 0) return outcome(size);
        to_local_.assign(buffer_.data(), static_cast<std::size_t>(size));
        return true;
    }
    bool write_tls() {
        if (to_tls_.empty()) return false;
        if (tls_ended_) {
            over_ = true;
            return false;
        }
        const int size = SSL_write(ssl_, to_tls_.data(), static_cast<int>(to_tls_.size()));
        if (size <= 0) return outcome(size);
        to_tls_.erase(0, static_cast<std::size_t>(size));
        return true;
    }
    bool read_local() {
        if (!to_tls_.empty() || local_ended_) return false;
        const ssize_t size = ::recv(local_, buffer_.data(), buffer_.size(), 0);
        if (size < 0) {
            local_ended_ = errno != EAGAIN && errno != EINTR;
            return false;
        }
        local_ended_ = size == 0;
        to_tls_.assign(buffer_.data(), static_cast<std::size_t>(size));
        return size > 0;
    }
    bool write_local() {
        if (to_local_.empty()) return false;
        const ssize_t size = ::send(local_, to_local_.data(), to_local_.size(), MSG_NOSIGNAL);
        if (size < 0) {
            over_ = errno != EAGAIN && errno != EINTR;
            return false;
        }
        to_local_.erase(0, static_cast<std::size_t>(size));
        return true;
    }
    void wait() {
        std::array<pollfd, 2> waiting{pollfd{tcp_, 0, 0}, pollfd{local_, 0, 0}};
        if (to_local_.empty() && !tls_ended_) waiting[0].events |= POLLIN;
        if (!to_tls_.empty() || wants_write_) waiting[0].events |= POLLOUT;
        if (to_tls_.empty() && !local_ended_) waiting[1].events |= POLLIN;
        if (!to_local_.empty()) waiting[1].events |= POLLOUT;
        wants_write_ = false;
        ::poll(waiting.data(), waiting.size(), -1);
    }
    void say_goodbye() {
        SSL_shutdown(ssl_);
        ::shutdown(tcp_, SHUT_WR);
    }

    SSL* ssl_;
    int tcp_, local_;
    std::array<char, 16384> buffer_{};
    std::string to_tls_, to_local_;
    bool tls_ended_ = false, local_ended_ = false, wants_write_ = false, over_ = false;
};

}  // namespace

void pump_tls(SslPtr ssl, UniqueFd tcp, UniqueFd local) {
    set_nonblocking(tcp.get());
    set_nonblocking(local.get());
    Pump(ssl.get(), tcp.get(), local.get()).run();
}

}  // namespace lxmgr::cli
