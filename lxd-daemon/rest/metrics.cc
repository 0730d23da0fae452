#include "lxd-daemon/api/metrics.h"

#include <algorithm>
#include <chrono>

#include "lxd-daemon/database/database.h"
#include "lxd-daemon/instances/service.h"
#include "lxd-daemon/operations/operation.h"
#include "lxd-daemon/rest/route.h"
#include "lxd-daemon/rest/routes.h"
#include "lxd-daemon/rest/services.h"

namespace lxmgr::rest {
namespace {

constexpr int kResolved = 3;
const auto kBegan = std::chrono::steady_clock::now();

/// @param project  whose instances; empty: all
Result<std::string> collect(const Services& services, std::uint64_t operations, const std::string& project) {
    api::ServerMetrics server;
    server.operations = operations;
    server.uptime_seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - kBegan).count();
    LX_TRY_AS(const auto warnings, services.database->warnings().list());
    server.warnings = static_cast<std::uint64_t>(std::ranges::count_if(
        warnings, [](const database::WarningRecord& warning) { return warning.status != kResolved; }));
    auto metrics = services.instances->metrics();
    std::erase_if(
        metrics, [&](const api::InstanceMetrics& one) { return !project.empty() && one.project != project; });
    return api::to_open_metrics(metrics, server);
}

Handled metrics_get(const Request& request, Services& services) {
    LX_CO_TRY(check_project(request));
    const auto operations = services.operations.list();
    const auto running = static_cast<std::uint64_t>(
        std::ranges::count_if(operations, [](const auto& operation) { return !operation->is_final(); }));
    const bool some = request.query.contains("project") || request.identity.restricted;
    auto read = [&services, running, project = some ? request.project : ""] {
        return collect(services, running, project);
    };
    auto pending = on_worker(services, std::move(read));
    LX_CO_TRY_AS(auto text, co_await std::move(pending));
    co_return Response::raw(std::move(text), "application/openmetrics-text; version=1.0.0; charset=utf-8");
}

constexpr Route kMetricsRoutes[] = {{Verb::get, "/1.0/metrics", Access::metrics, metrics_get}};

}  // namespace

std::span<const Route> metrics_routes() { return kMetricsRoutes; }

}  // namespace lxmgr::rest
