#pragma once
#include <gtest/gtest.h>

#include <boost/asio/executor_work_guard.hpp>
#include <boost/asio/io_context.hpp>
#include <functional>
#include <memory>
#include <nlohmann/json.hpp>
#include <string>
#include <thread>

#include "lxd-daemon/base/own.h"
#include "lxd-daemon/events/hub.h"
#include "lxd-daemon/operations/operation.h"
#include "lxd-daemon/operations/worker_pool.h"
#include "lxd-daemon/rest/router.h"
#include "lxd-daemon/rest/server.h"
#include "lxd-daemon/rest/services.h"

namespace lxmgr::rest::testing_support {

/// An answer as it came over the socket.
struct Answer {
    int status = 0;
    std::string head;
    std::string body;
    [[nodiscard]] nlohmann::json json() const { return nlohmann::json::parse(body, nullptr, false); }
    /// Value of a header, "" when absent.
    [[nodiscard]] std::string header(const std::string& name) const;
};

/// A blocking client on one connection. Every wait ends after ten seconds.
class Client {
public:
    explicit Client(const std::string& socket_path);
    void send(std::string_view bytes);
    [[nodiscard]] bool try_send(std::string_view bytes);
    /// Reads exactly one answer. A closed connection gives status 0.
    Answer receive(bool head_only = false);
    Answer request(const std::string& method, const std::string& target, const std::string& body = "",
                   const std::string& headers = "");
    /// True when the server closes without another byte.
    bool is_closed_by_server();
    std::string read_some();
    [[nodiscard]] int fd() const { return fd_.get(); }
    /// Closes our sending side.
    void finish_sending();

    // ---- websockets, as a client masks them
    struct Frame {
        int opcode = -1;  ///< -1: the connection ended
        std::string payload;
    };
    bool upgrade_to_websocket(const std::string& target);
    void send_frame(int opcode, std::string_view payload);
    /// The next frame, pings included.
    Frame receive_frame();
    /// The next frame that is no ping.
    Frame receive_message();

private:
    bool fill();
    UniqueFd fd_;
    std::string in_;
};

/// A daemon's REST side in this process: its own I/O thread, worker pool, operations and a socket in a
/// temporary directory.
class TestDaemon {
public:
    explicit TestDaemon(std::vector<std::span<const Route>> tables, Limits limits = {});
    ~TestDaemon();
    [[nodiscard]] const std::string& root() const { return services.root; }
    [[nodiscard]] std::string socket_path() const { return services.root + "/unix.socket"; }
    /// Runs a function on the I/O thread and waits for it.
    void on_io(std::function<void()> work);
    [[nodiscard]] std::size_t connections();

    boost::asio::io_context io{1};
    events::Hub hub;
    operations::WorkerPool workers;
    operations::Registry registry{workers, hub};
    Services services;

private:
    Router router_;
    std::unique_ptr<Server> server_;
    boost::asio::executor_work_guard<boost::asio::io_context::executor_type> guard_{io.get_executor()};
    std::thread thread_;
};

}  // namespace lxmgr::rest::testing_support
