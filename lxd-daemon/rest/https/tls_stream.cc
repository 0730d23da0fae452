#include "lxd-daemon/rest/https/tls_stream.h"

#include <openssl/err.h>

#include <algorithm>
#include <boost/asio/error.hpp>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <limits>

#include "lxd-daemon/rest/https/corked.h"

namespace lxmgr::rest {
namespace asio = boost::asio;

namespace {
int as_ssl_size(std::size_t size) {
    return static_cast<int>(std::min(size, std::size_t{std::numeric_limits<int>::max()}));
}
}  // namespace

TlsStream::Step TlsStream::failed(int result) {
    Step out;
    switch (SSL_get_error(ssl_.get(), result)) {
        case SSL_ERROR_WANT_READ:
            out.wait = Tcp::wait_read;
            break;
        case SSL_ERROR_WANT_WRITE:
            out.wait = Tcp::wait_write;
            break;
        case SSL_ERROR_ZERO_RETURN:
            out.error = asio::error::eof;
            break;
        default:
            out.error = asio::error::connection_reset;
    }
    return out;
}

TlsStream::Step TlsStream::closed() {
    Step out;
    out.error = asio::error::bad_descriptor;
    return out;
}

TlsStream::Step TlsStream::read(void* data, std::size_t size) {
    if (!tcp_.is_open()) return closed();
    Step out;
    while (out.size < size) {
        ERR_clear_error();
        const int got =
            SSL_read(ssl_.get(), static_cast<char*>(data) + out.size, as_ssl_size(size - out.size));
        if (got > 0) {
            out.size += static_cast<std::size_t>(got);
            continue;
        }
        // What ended it is met again.
        return out.size > 0 ? out : failed(got);
    }
    return out;
}

TlsStream::Step TlsStream::write(const void* data, std::size_t size) {
    if (!tcp_.is_open()) return closed();
    const Corked corked(tcp_.native_handle(), size);
    Step out;
    while (out.size < size) {
        ERR_clear_error();
        const int put =
            SSL_write(ssl_.get(), static_cast<const char*>(data) + out.size, as_ssl_size(size - out.size));
        if (put > 0) {
            out.size += static_cast<std::size_t>(put);
            continue;
        }
        return out.size > 0 ? out : failed(put);
    }
    return out;
}

asio::awaitable<bool> TlsStream::shake_hands() {
    for (;;) {
        ERR_clear_error();
        const int done = SSL_connect(ssl_.get());
        if (done == 1) co_return true;
        const Step step = failed(done);
        if (!step.wait) co_return false;
        Code error;
        auto waiting = tcp_.async_wait(*step.wait, asio::redirect_error(asio::use_awaitable, error));
        co_await std::move(waiting);
        if (error) co_return false;
    }
}

void TlsStream::end_sending() {
    if (!tcp_.is_open()) return;
    ERR_clear_error();
    SSL_shutdown(ssl_.get());
    Code ignored;
    tcp_.shutdown(Tcp::shutdown_send, ignored);
}

}  // namespace lxmgr::rest
