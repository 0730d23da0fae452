#include "lxd-daemon/daemon.h"

#include <fmt/format.h>
#include <grp.h>
#include <sys/resource.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <boost/asio/io_context.hpp>
#include <boost/asio/post.hpp>
#include <boost/asio/signal_set.hpp>
#include <climits>
#include <csignal>
#include <cstdio>
#include <memory>
#include <optional>
#include <thread>

#include "lxd-daemon/auth/certificate.h"
#include "lxd-daemon/base/log.h"
#include "lxd-daemon/base/strings.h"
#include "lxd-daemon/database/database.h"
#include "lxd-daemon/events/hub.h"
#include "lxd-daemon/instances/image_store.h"
#include "lxd-daemon/instances/network_rules.h"
#include "lxd-daemon/instances/service.h"
#include "lxd-daemon/network_watch.h"
#include "lxd-daemon/operations/operation.h"
#include "lxd-daemon/operations/worker_pool.h"
#include "lxd-daemon/rest/admission.h"
#include "lxd-daemon/rest/expiry.h"
#include "lxd-daemon/rest/guest_api.h"
#include "lxd-daemon/rest/history.h"
#include "lxd-daemon/rest/https/https.h"
#include "lxd-daemon/rest/router.h"
#include "lxd-daemon/rest/routes.h"
#include "lxd-daemon/rest/server.h"
#include "lxd-daemon/rest/server_info.h"
#include "lxd-daemon/rest/services.h"
#include "lxd-daemon/runtime/container.h"
#include "lxd-daemon/state_dir.h"
#include "lxd-daemon/zone_server.h"

namespace lxmgr {
namespace {

/// What a stop waits for running operations before it asks them to end.
constexpr std::chrono::seconds kDrainTime{20};
/// And then: what has not ended by then is the next daemon's to recover.
constexpr std::chrono::seconds kAbortTime{10};
constexpr std::chrono::minutes kShutdownTime{5};  ///< without core.shutdown_timeout

/// Of the machine's own groups. getgrnam(3) asks others for one that it does not find there, and keeps what
/// it has loaded for that: 0.3 MB for systemd's.
std::optional<gid_t> local_group(const std::string& name) {
    const std::unique_ptr<std::FILE, int (*)(std::FILE*)> groups(std::fopen("/etc/group", "re"), std::fclose);
    if (!groups) return std::nullopt;
    while (const group* one = ::fgetgrent(groups.get())) {  // NOLINT(concurrency-mt-unsafe): one thread yet
        if (name == one->gr_name) return one->gr_gid;
    }
    return std::nullopt;
}

/// The group of the unix socket.
Result<gid_t> socket_group(const Options& options) {
    if (const auto found = local_group(options.group)) return *found;
    if (!options.group_given) return gid_t{0};
    if (const group* found = ::getgrnam(options.group.c_str()); found != nullptr) return found->gr_gid;
    return fail(Status::bad_request, fmt::format("There is no group '{}' for the socket", options.group));
}

/// Hundreds of instances and connections need descriptors; what the kernel allows is taken.
void raise_limits() {
    rlimit limit{};
    if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return;
    limit.rlim_cur = limit.rlim_max;
    ::setrlimit(RLIMIT_NOFILE, &limit);
}

/// Log lines are events of type `logging` too.
void publish_log(log::Level level, std::string_view message, const log::Field* fields, std::size_t count,
                 void* hub) {
    events::publish_log_line(*static_cast<events::Hub*>(hub), level, message, fields, count);
}

}  // namespace

/// In the order of construction; destroyed in reverse, so that nothing outlives what it refers to.
struct Daemon::Parts {
    UniqueFd lock;
    std::unique_ptr<database::Database> database;
    events::Hub hub;
    std::optional<instances::Pools> pools;
    std::optional<instances::Networks> networks;
    std::atomic<instances::Service*> listener_target =
        nullptr;  ///< null once the daemon ends: the next one hears of it
    std::unique_ptr<runtime::Runtime> runtime;
    std::optional<operations::WorkerPool> workers;
    std::optional<operations::Registry> operations;
    std::optional<instances::Service> instances;
    boost::asio::io_context io{1};
    std::optional<rest::ServerInfo> server_info;
    std::optional<rest::Services> services;
    std::optional<rest::History> history;
    std::optional<rest::Router> router;
    std::optional<rest::Server> server;
    std::optional<rest::Admission> admission;
    std::optional<rest::Https> https;
    std::optional<rest::GuestApi> guests;
    std::optional<rest::Expiry> expiry;
    std::optional<NetworkWatch> network_watch;
    std::optional<ZoneServer> zone_server;
    std::jthread stopper;

    Result<> open_state(const Options& options);
    Result<> open_runtime(const Options& options);
    Result<> open_rest(const Options& options);
    Result<> serve_https(const Options& options);
    void serve_guests();
    void serve_zones();
    void on_signal(int number);
    void begin_stop(bool stop_instances);
    void stop(bool stop_instances);
    void end_operations(std::chrono::seconds time);
    void take_networks_down();
    [[nodiscard]] std::chrono::seconds drain_time(bool goes_down) const;
};

Result<> Daemon::Parts::open_state(const Options& options) {
    LX_TRY_AS(lock, prepare_state_dir(options.root));
    LX_TRY_AS(database, database::Database::open(options.root + "/database/lxmgr.db"));
    pools.emplace(*database, options.root);
    networks.emplace(*database, options.root);
    pools->open_all();
    return instances::ImageStore(*database, *pools).recover();
}

Result<> Daemon::Parts::open_runtime(const Options& options) {
    LX_TRY_AS(const std::string monitor, sibling_program("lxmgr-monitor"));
    runtime::Listener listener;
    listener.on_exit = [this](const std::string& name, const runtime::ExitStatus& status) {
        if (auto* target = listener_target.load()) target->exited(name, status);
    };
    listener.on_ready = [this](const std::string& name, std::int64_t at_ns) {
        if (auto* target = listener_target.load()) target->ready(name, Time(std::chrono::nanoseconds(at_ns)));
    };
    LX_TRY_AS(runtime, runtime::Runtime::open({monitor, cgroup_name(options.root)}, std::move(listener)));
    workers.emplace();
    operations.emplace(*workers, hub);
    instances.emplace(instances::Dependencies{*database, *runtime, *pools, *networks, *operations, *workers,
                                              hub, options.root});
    listener_target = &*instances;
    networks->apply_all();  // an interrupted change of a NIC is finished on its network
    return instances->recover();
}

Result<> Daemon::Parts::open_rest(const Options& options) {
    LX_TRY_AS(const gid_t gid, socket_group(options));
    server_info.emplace(*database);
    services.emplace(rest::Services{
        .root = options.root, .io = io, .workers = *workers, .operations = *operations, .hub = hub});
    services->database = database.get();
    services->runtime = runtime.get();
    services->instances = &*instances;
    services->pools = &*pools;
    services->networks = &*networks;
    services->server = &*server_info;
    history.emplace(*services);
    services->history = &*history;
    services->shut_down = [this] { begin_stop(true); };
    services->exec_target.prepare = [this](const std::string& name,
                                           std::map<std::string, std::string>& environment) -> Result<> {
        LX_TRY_AS(const auto record, instances->require(name));
        const auto status = instances->status(name);
        if (status == api::StatusCode::frozen) return fail(Status::bad_request, "Instance is frozen");
        if (status != api::StatusCode::running) return fail(Status::bad_request, "Instance is not running");
        for (auto& [key, value] : instances->exec_environment(*record)) environment.emplace(key, value);
        return {};
    };
    services->exec_target.logs_dir = [this](const std::string& name) { return instances->log_dir(name); };
    services->exec_target.console_log = [this](const std::string& name) -> Result<std::string> {
        LX_TRY(instances->require(name));
        return instances->console_log_path(name);
    };
    const auto tables = rest::all_routes();
    router.emplace(tables);
    server.emplace(*services, *router);
    expiry.emplace(io, *operations);
    LX_TRY_AS(auto socket, rest::listen_unix(options.root + "/unix.socket", 0660, gid));
    LX_TRY(serve_https(options));
    server->listen(std::move(socket));
    serve_guests();
    network_watch.emplace(io, *workers, *networks, *instances);
    network_watch->start();
    serve_zones();
    return {};
}

/// An address that cannot be had now must not keep the instances' daemon from starting.
Result<> Daemon::Parts::serve_https(const Options& options) {
    std::array<char, HOST_NAME_MAX + 1> host{};
    ::gethostname(host.data(), HOST_NAME_MAX);
    LX_TRY_AS(auto certificate, auth::open_server_certificate(options.root, host.data()));
    if (!certificate.certificate.is_valid_now())
        log::warn(
            "the server's certificate is not valid now, so that clients may refuse it: replace it by "
            "PUT /1.0/cluster/certificate, or remove it and its key for a new one at the next start",
            {{"file", options.root + "/server.crt"}});
    server_info->set_certificate(certificate.certificate);
    admission.emplace(*services);
    https.emplace(*services, *router, std::move(certificate));
    services->admission = &*admission;
    services->https = &*https;
    auto listening = https->listen(server_info->stored_config(), rest::Https::When::boot);
    if (!listening) log::error("HTTPS is not served", {{"error", listening.error().message}});
    return {};
}

/// An address that cannot be had now must not keep the daemon from starting.
void Daemon::Parts::serve_zones() {
    auto& zones = networks->rules().zones();
    zone_server.emplace(io, zones);
    zones.set_listener([this](const std::string& address) { return zone_server->listen(address); });
    auto listening = zones.listen(api::value_of(server_info->config(), "core.dns_address"));
    if (!listening) log::error("zones are not served", {{"error", listening.error().message}});
}

void Daemon::Parts::serve_guests() {
    guests.emplace(*services);
    services->guests = &*guests;
    instances::GuestServer hand_over;
    hand_over.listen = [this](const std::string& name, UniqueFd listening) {
        auto listen = [this, name, socket = std::move(listening)]() mutable {
            guests->listen(name, std::move(socket));
        };
        boost::asio::post(io, std::move(listen));
    };
    hand_over.close = [this](const std::string& name) {
        boost::asio::post(io, [this, name] { guests->close(name); });
    };
    instances->serve_guests(std::move(hand_over));
}

/// A service that is restarted must not take long; a machine that goes down may.
std::chrono::seconds Daemon::Parts::drain_time(bool goes_down) const {
    if (!goes_down) return kDrainTime;
    const auto stored = parse_int(api::value_of(database->server_config().all(), "core.shutdown_timeout"));
    return stored ? std::chrono::minutes(*stored) : kShutdownTime;
}

void Daemon::Parts::end_operations(std::chrono::seconds time) {
    if (operations->drain(std::chrono::steady_clock::now() + time)) return;
    log::warn("operations run longer than a stop waits for them: they are asked to end");
    operations->abort_bodies();
    if (!operations->drain(std::chrono::steady_clock::now() + kAbortTime))
        log::warn("operations were still running at the stop; the next start recovers from them");
}

/// As LXD does when the host goes down. An instance that could not be stopped keeps its network.
void Daemon::Parts::take_networks_down() {
    for (const auto& record : database->instances().list()) {
        if (instances->status(record->name) != api::StatusCode::stopped) return;
    }
    networks->take_down();
}

/// Runs beside the I/O thread, which goes on answering while operations end.
void Daemon::Parts::stop(bool stop_instances) {
    notify_service_manager("STOPPING=1");
    boost::asio::post(io, [this] {
        server->drain();
        https->drain();
    });
    instances->stop_background();
    if (stop_instances) instances->stop_all();
    end_operations(drain_time(stop_instances));
    if (stop_instances) take_networks_down();
    boost::asio::post(io, [this] {
        guests->close_all();
        network_watch->stop();
        zone_server->close();
        server->close();
        https->close();
        io.stop();
    });
}

void Daemon::Parts::on_signal(int number) {
    if (number == SIGHUP) return;
    log::info("signal", {{"number", std::to_string(number)}});
    begin_stop(number == SIGPWR);
}

/// I/O thread only. A second request changes nothing.
void Daemon::Parts::begin_stop(bool stop_instances) {
    if (stopper.joinable()) return;
    log::info(stop_instances ? "stopping, with the instances" : "stopping");
    stopper = std::jthread([this, stop_instances] { stop(stop_instances); });
}

Daemon::Daemon() : parts_(std::make_unique<Parts>()) {}
/// After an open() that failed half-way, what it had posted still runs before its objects go.
Daemon::~Daemon() {
    if (parts_) parts_->workers.reset();
}

Result<std::unique_ptr<Daemon>> Daemon::open(const Options& options) {
    raise_limits();
    std::unique_ptr<Daemon> daemon(new Daemon);
    auto& parts = *daemon->parts_;
    LX_TRY(parts.open_state(options));
    LX_TRY(parts.open_runtime(options));
    LX_TRY(parts.open_rest(options));
    return daemon;
}

Result<> Daemon::run() {
    auto& parts = *parts_;
    boost::asio::signal_set signals(parts.io, SIGTERM, SIGINT, SIGPWR);
    signals.add(SIGHUP);
    std::function<void()> wait = [&] {
        signals.async_wait([&](const boost::system::error_code& error, int number) {
            if (error) return;
            parts.on_signal(number);
            wait();
        });
    };
    wait();
    log::set_sink(publish_log, &parts.hub);
    parts.instances->autostart();
    notify_service_manager("READY=1");
    log::info("serving", {{"pid", std::to_string(::getpid())}});
    parts.io.run();
    if (parts.stopper.joinable()) parts.stopper.join();
    parts.listener_target = nullptr;
    parts.workers.reset();  // runs what is queued while everything it uses still stands
    log::set_sink(nullptr, nullptr);
    parts.hub.end();  // listeners are clients' streams, which stand on the I/O context
    log::info("stopped");
    return {};
}

}  // namespace lxmgr
