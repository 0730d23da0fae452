#pragma once
#include <fcntl.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <boost/asio/post.hpp>
#include <boost/asio/use_awaitable.hpp>
#include <future>
#include <latch>
#include <stdexcept>

#include "lxd-daemon/base/files.h"
#include "lxd-daemon/rest/upgrade.h"
#include "lxd-daemon/rest/websocket.h"
#include "tests/unit/rest/fixture.h"

namespace lxmgr::rest {

using testing_support::Client;
using testing_support::TestDaemon;

inline Handled hello(const Request&, Services&) { co_return Response::sync({{"hello", "world"}}); }
inline Handled echo(const Request& request, Services&) {
    nlohmann::json body = nlohmann::json::object();
    if (!request.body.empty()) {
        LX_CO_TRY_AS(body, request.json());
    }
    nlohmann::json shown{
        {"path", request.path}, {"query", request.query}, {"args", request.args}, {"body", body}};
    shown["old_names"] = request.old_names;
    shown["requestor"] = nlohmann::json::parse(request.requestor_json);
    co_return Response::sync(shown);
}
inline Handled throws(const Request&, Services&) {
    throw std::runtime_error("deliberate");
    co_return Response::empty();
}
inline Handled upload(const Request& request, Services&) {
    nlohmann::json files = nlohmann::json::array();
    for (const auto& file : request.files) {
        const auto content = read_file(file->path, std::size_t{64} << 20);
        files.push_back({{"name", file->part_name},
                         {"filename", file->filename},
                         {"size", file->size_bytes},
                         {"content", content->substr(0, 100)}});
    }
    co_return Response::sync({{"files", files}, {"body", request.body}});
}
inline Handled download(const Request& request, Services& services) {
    const std::string path = services.root + "/tmp/big";
    UniqueFd fd(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
    struct stat info{};
    ::fstat(fd.get(), &info);
    const auto promised =
        static_cast<std::uint64_t>(info.st_size) + std::stoul(request.query_or("more", "0"));
    co_return Response::stream(std::move(fd), promised, "application/octet-stream");
}
inline Handled big_body(const Request&, Services&) {
    co_return Response::raw(std::string(std::size_t{8} << 20, 'x'), "application/octet-stream");
}
inline Handled slow(const Request&, Services& services) {
    auto work = []() -> Result<int> { return 7; };
    auto pending = on_worker(services, std::move(work));
    LX_CO_TRY_AS(const int value, co_await std::move(pending));
    co_return Response::sync(value);
}
inline Handled websocket_echo(const Request& request, Services&) {
    if (request.upgrade == nullptr) co_return fail(Status::bad_request, "No upgrade asked for");
    auto accepting = request.upgrade->accept_websocket();
    LX_CO_TRY_AS(const auto socket, co_await std::move(accepting));
    for (;;) {
        auto reading = socket->read_message(1 << 20);
        auto message = co_await std::move(reading);
        if (!message) break;
        auto writing = socket->write(*message, true);
        if (!co_await std::move(writing)) break;
    }
    co_return Response::upgrade_done();
}
/// What a test and websocket_left() tell each other.
struct Leaving {
    std::latch client_is_gone{1};
    std::promise<bool> still_open;
};
inline Leaving* leaving = nullptr;

/// Reads for the first time when the client has gone and the first ping has found that.
inline Handled websocket_left(const Request& request, Services& services) {
    auto accepting = request.upgrade->accept_websocket();
    LX_CO_TRY_AS(const auto socket, co_await std::move(accepting));
    leaving->client_is_gone.wait();  // the ping has not been begun: this is the I/O thread
    for (int i = 0; i < 20; ++i) {
        auto turn = boost::asio::post(services.io, boost::asio::use_awaitable);
        co_await std::move(turn);
    }
    auto reading = socket->read_message(1 << 20);
    (void)co_await std::move(reading);
    leaving->still_open.set_value(socket->is_open());
    co_return Response::upgrade_done();
}

constexpr Route kRoutes[] = {
    {Verb::get, "/hello", Access::anyone, hello},
    {Verb::post, "/echo/{name}/x", Access::anyone, echo},
    {Verb::get, "/echo/{name}/x", Access::anyone, echo},
    {Verb::get, "/1.0/instances/{name}", Access::anyone, echo},
    {Verb::get, "/throws", Access::anyone, throws},
    {Verb::post, "/upload", Access::anyone, upload, Body::file},
    {Verb::post, "/raw", Access::anyone, upload, Body::raw_file},
    {Verb::get, "/download", Access::anyone, download},
    {Verb::get, "/big", Access::anyone, big_body},
    {Verb::get, "/slow", Access::anyone, slow},
    {Verb::get, "/socket", Access::anyone, websocket_echo},
    {Verb::get, "/left", Access::anyone, websocket_left},
};

class HttpServerTest : public testing::Test {
protected:
    void start(Limits limits = {}) {
        daemon_ = std::make_unique<TestDaemon>(std::vector<std::span<const Route>>{kRoutes}, limits);
    }
    void SetUp() override { start(); }
    Client client() { return Client(daemon_->socket_path()); }
    bool tmp_is_empty() {
        return !path_exists(daemon_->root() + "/tmp/x") && ::rmdir((daemon_->root() + "/tmp").c_str()) == 0;
    }
    std::unique_ptr<TestDaemon> daemon_;
};

}  // namespace lxmgr::rest
