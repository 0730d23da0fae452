#include "lxd-daemon/rest/resources/parts.h"
#include "lxd-daemon/rest/route.h"
#include "lxd-daemon/rest/routes.h"
#include "lxd-daemon/rest/services.h"

namespace lxmgr::rest {
namespace {

nlohmann::json describe_host() {
    const KernelFiles files;
    return {{"cpu", cpu_resources(files)},         {"memory", memory_resources(files)},
            {"gpu", gpu_resources(files)},         {"network", network_resources(files)},
            {"storage", storage_resources(files)}, {"usb", usb_resources(files)},
            {"pci", pci_resources(files)},         {"system", system_resources(files)},
            {"load", load_resources(files)}};
}

/// Reading sys/ and /proc is all that is done: blocking, on the worker pool.
Handled resources_get(const Request&, Services& services) {
    auto pending = on_worker(services, describe_host);
    const nlohmann::json host = co_await std::move(pending);
    co_return Response::sync(host);
}

constexpr Route kResourcesRoutes[] = {
    {Verb::get, "/1.0/resources", Access::authenticated, resources_get},
};

}  // namespace

std::span<const Route> resource_routes() { return kResourcesRoutes; }

}  // namespace lxmgr::rest
