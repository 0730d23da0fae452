#include "lxd-daemon/zone_server.h"

#include <fmt/format.h>

#include <array>
#include <boost/asio/ip/tcp.hpp>
#include <boost/asio/ip/udp.hpp>
#include <boost/asio/read.hpp>
#include <boost/asio/steady_timer.hpp>
#include <boost/asio/write.hpp>
#include <chrono>
#include <memory>
#include <optional>

#include "lxd-daemon/base/strings.h"
#include "network/dns_message.h"

namespace lxmgr {
namespace {

namespace asio = boost::asio;
namespace dns = network::dns;
using asio::ip::tcp;
using asio::ip::udp;

constexpr std::chrono::seconds kTimeout{5};
constexpr std::size_t kMaxQuestion = 512;
constexpr int kMaxConnections = 16;

std::string plain(const asio::ip::address& address) {
    if (address.is_v6() && address.to_v6().is_v4_mapped())
        return asio::ip::make_address_v4(asio::ip::v4_mapped, address.to_v6()).to_string();
    return address.to_string();
}

/// "192.0.2.1", "192.0.2.1:5353", "[::1]:5353", "::1", ":5353".
Result<tcp::endpoint> parse_endpoint(const std::string& text) {
    std::string host = text;
    std::uint64_t port = 53;
    const auto colon = text.rfind(':');
    const bool has_port =
        colon != std::string::npos && (text.find(':') == colon || text.find("]:") + 1 == colon);
    if (has_port) {
        const auto number = parse_uint(text.substr(colon + 1));
        if (!number || *number < 1 || *number > 65535)
            return fail(Status::bad_request, fmt::format("core.dns_address '{}' has no valid port", text));
        port = *number;
        host = text.substr(0, colon);
    }
    if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
    boost::system::error_code error;
    const auto address =
        host.empty() ? asio::ip::address(asio::ip::address_v6::any()) : asio::ip::make_address(host, error);
    if (error)
        return fail(Status::bad_request,
                    fmt::format("core.dns_address '{}' must be an IP address, with a port unless "
                                "that is 53",
                                text));
    return tcp::endpoint(address, static_cast<std::uint16_t>(port));
}

/// Nullopt: nothing is to be said.
std::optional<std::string> reply_to(std::string_view message, const std::string& peer, bool is_tcp,
                                    const instances::NetworkZones& zones) {
    const auto question = dns::parse_question(message);
    if (!question) return std::nullopt;
    const auto framed = [is_tcp](const std::string& text) {
        std::string out;
        if (is_tcp) {
            out += static_cast<char>(text.size() >> 8);
            out += static_cast<char>(text.size() & 0xff);
        }
        return out + text;
    };
    if (question->opcode != 0) return framed(dns::answer(*question, dns::Code::not_implemented, {}));
    const auto records = zones.transfer(question->name, peer);
    if (!records) return framed(dns::answer(*question, dns::Code::refused, {}));
    if (question->type == static_cast<std::uint16_t>(dns::Type::soa))
        return framed(dns::answer(*question, dns::Code::ok, {records->front()}));
    if (question->type != static_cast<std::uint16_t>(dns::Type::axfr) || !is_tcp)
        return framed(dns::answer(*question, dns::Code::refused, {}));
    auto all = *records;
    all.push_back(all.front());  // a transfer ends as it began
    return dns::transfer(*question, all);
}

/// One question over TCP.
class ZoneConnection : public std::enable_shared_from_this<ZoneConnection> {
public:
    ZoneConnection(tcp::socket socket, const instances::NetworkZones& zones, std::shared_ptr<int> count)
        : socket_(std::move(socket)),
          timer_(socket_.get_executor()),
          zones_(zones),
          count_(std::move(count)) {
        ++*count_;
    }
    ~ZoneConnection() { --*count_; }
    ZoneConnection(ZoneConnection&&) = delete;

    void run() {
        timer_.expires_after(kTimeout);
        timer_.async_wait([self = weak_from_this()](const boost::system::error_code& error) {
            boost::system::error_code ignored;
            if (const auto live = self.lock(); live && !error) live->socket_.close(ignored);
        });
        read(2, [](ZoneConnection& self) { self.read_question(); });
    }

private:
    void read(std::size_t size, void (*then)(ZoneConnection&)) {
        asio::async_read(
            socket_, asio::buffer(buffer_, size),
            [self = shared_from_this(), then](const boost::system::error_code& error, std::size_t) {
                if (!error) then(*self);
            });
    }
    void read_question() {
        size_ = static_cast<std::size_t>(static_cast<unsigned char>(buffer_[0]) << 8 |
                                         static_cast<unsigned char>(buffer_[1]));
        if (size_ == 0 || size_ > kMaxQuestion) return;
        read(size_, [](ZoneConnection& self) { self.answer(); });
    }
    void answer() {
        boost::system::error_code error;
        const auto peer = socket_.remote_endpoint(error);
        if (error) return;
        auto reply = reply_to({buffer_.data(), size_}, plain(peer.address()), true, zones_);
        if (!reply) return;
        reply_ = *std::move(reply);
        asio::async_write(socket_, asio::buffer(reply_),
                          [self = shared_from_this()](const boost::system::error_code& failed, std::size_t) {
                              if (!failed) self->run();  // a client may ask again on one connection
                          });
    }

    tcp::socket socket_;
    asio::steady_timer timer_;
    const instances::NetworkZones& zones_;
    std::shared_ptr<int> count_;
    std::array<char, kMaxQuestion> buffer_{};
    std::size_t size_ = 0;
    std::string reply_;
};

}  // namespace

struct ZoneServer::Listener : std::enable_shared_from_this<ZoneServer::Listener> {
    Listener(asio::io_context& io, const instances::NetworkZones& served)
        : acceptor(io), datagrams(io), zones(served) {}

    void accept() {
        acceptor.async_accept(
            [self = shared_from_this()](const boost::system::error_code& error, tcp::socket socket) {
                if (error == asio::error::operation_aborted) return;
                if (!error && *self->count < kMaxConnections)
                    std::make_shared<ZoneConnection>(std::move(socket), self->zones, self->count)->run();
                if (self->acceptor.is_open()) self->accept();
            });
    }
    void receive() {
        datagrams.async_receive_from(
            asio::buffer(buffer), sender,
            [self = shared_from_this()](const boost::system::error_code& error, std::size_t size) {
                if (error == asio::error::operation_aborted) return;
                const auto reply = error ? std::nullopt
                                         : reply_to({self->buffer.data(), size},
                                                    plain(self->sender.address()), false, self->zones);
                boost::system::error_code ignored;
                if (reply) self->datagrams.send_to(asio::buffer(*reply), self->sender, 0, ignored);
                if (self->datagrams.is_open()) self->receive();
            });
    }

    tcp::acceptor acceptor;
    udp::socket datagrams;
    const instances::NetworkZones& zones;
    std::shared_ptr<int> count = std::make_shared<int>(0);
    std::array<char, kMaxQuestion> buffer{};
    udp::endpoint sender;
};

ZoneServer::ZoneServer(asio::io_context& io, const instances::NetworkZones& zones) : io_(io), zones_(zones) {}
ZoneServer::~ZoneServer() { close(); }

Result<> ZoneServer::listen(const std::string& address) {
    if (address == address_) return {};
    if (address.empty()) {
        close();
        return {};
    }
    LX_TRY_AS(const tcp::endpoint at, parse_endpoint(address));
    auto next = std::make_shared<Listener>(io_, zones_);
    try {
        next->acceptor.open(at.protocol());
        next->acceptor.set_option(tcp::acceptor::reuse_address(true));
        next->acceptor.bind(at);
        next->acceptor.listen();
        next->datagrams.open(at.address().is_v6() ? udp::v6() : udp::v4());
        next->datagrams.non_blocking(true);
        next->datagrams.bind({at.address(), at.port()});
    } catch (const boost::system::system_error& error) {
        return fail(Status::bad_request,
                    fmt::format("Listening for DNS on '{}': {}", address, error.code().message()));
    }
    close();
    listener_ = std::move(next);
    address_ = address;
    listener_->accept();
    listener_->receive();
    return {};
}

void ZoneServer::close() {
    address_.clear();
    if (!listener_) return;
    boost::system::error_code ignored;
    listener_->acceptor.close(ignored);
    listener_->datagrams.close(ignored);
    listener_.reset();
}

}  // namespace lxmgr
