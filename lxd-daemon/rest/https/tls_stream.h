#pragma once
#include <openssl/ssl.h>

#include <boost/asio/awaitable.hpp>
#include <boost/asio/compose.hpp>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/post.hpp>
#include <memory>
#include <optional>

namespace lxmgr::rest {

/// A TLS connection that this daemon has made, as Asio's and Beast's algorithms use streams. A read takes as
/// many records as there are and fit: one at a time would cost a round of the I/O thread for every 16 KiB. At
/// most one read and one write at a time; it stays where it is while there is one. I/O thread only.
class TlsStream {
public:
    using Tcp = boost::asio::ip::tcp::socket;
    using executor_type = Tcp::executor_type;
    using Code = boost::system::error_code;
    using SslOwner = std::unique_ptr<SSL, decltype(&SSL_free)>;

    /// @param ssl  on the socket's descriptor, which does not block
    TlsStream(Tcp tcp, SslOwner ssl) : tcp_(std::move(tcp)), ssl_(std::move(ssl)) {}

    executor_type get_executor() { return tcp_.get_executor(); }
    [[nodiscard]] SSL* ssl() const { return ssl_.get(); }
    /// The client's side. False: ssl_error() says why.
    boost::asio::awaitable<bool> shake_hands();
    /// Tells the peer that nothing more comes.
    void end_sending();
    /// Reads and writes in progress end with an error.
    void close(Code& error) { tcp_.close(error); }

    template <typename Buffers, typename Handler>
    auto async_read_some(const Buffers& buffers, Handler&& handler) {
        const auto place = first<boost::asio::mutable_buffer>(buffers);
        return transfer<true>(place.data(), place.size(), std::forward<Handler>(handler));
    }
    template <typename Buffers, typename Handler>
    auto async_write_some(const Buffers& buffers, Handler&& handler) {
        const auto place = first<boost::asio::const_buffer>(buffers);
        return transfer<false>(const_cast<void*>(place.data()), place.size(), std::forward<Handler>(handler));
    }

private:
    /// What one try has come to: bytes or an error, or else what is to be waited for.
    struct Step {
        std::size_t size = 0;
        Code error;
        std::optional<Tcp::wait_type> wait;
    };
    Step read(void* data, std::size_t size);
    Step write(const void* data, std::size_t size);
    Step failed(int result);
    /// OpenSSL knows the number only, which may be another one's descriptor by now.
    static Step closed();

    template <typename Buffer, typename Buffers>
    static Buffer first(const Buffers& buffers) {
        auto at = boost::asio::buffer_sequence_begin(buffers);
        const auto end = boost::asio::buffer_sequence_end(buffers);
        while (at != end && Buffer(*at).size() == 0) ++at;
        return at == end ? Buffer() : Buffer(*at);
    }

    template <bool reads, typename Handler>
    auto transfer(void* data, std::size_t size, Handler&& handler) {
        // Nothing ends inside of the call that has begun it.
        auto body = [this, data, size, done = std::optional<Step>(), waited = false](
                        auto& self, Code error = {}) mutable {
            if (done) return self.complete(done->error, done->size);
            if (error) return self.complete(error, 0);
            const Step step = size == 0 ? Step{} : reads ? read(data, size) : write(data, size);
            if (step.wait) {
                waited = true;
                return tcp_.async_wait(*step.wait, std::move(self));
            }
            if (waited) return self.complete(step.error, step.size);
            done = step;
            boost::asio::post(get_executor(), std::move(self));
        };
        return boost::asio::async_compose<Handler, void(Code, std::size_t)>(std::move(body), handler, tcp_);
    }

    Tcp tcp_;
    SslOwner ssl_;
};

/// What Beast does when its own time is up.
inline void beast_close_socket(TlsStream& stream) {
    TlsStream::Code ignored;
    stream.close(ignored);
}

}  // namespace lxmgr::rest
