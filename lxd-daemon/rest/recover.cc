#include <nlohmann/json.hpp>

#include "lxd-daemon/instances/recovery/recovery.h"
#include "lxd-daemon/instances/service.h"
#include "lxd-daemon/rest/on_worker.h"
#include "lxd-daemon/rest/routes.h"
#include "lxd-daemon/rest/services.h"
#include "lxd-daemon/rest/turns.h"

// What `lxmgr admin recover` uses. On the unix socket only.
namespace lxmgr::rest {
namespace {

/// {"pools": [{name, driver, config, description}]}; none: all that can be found.
Result<std::vector<api::StoragePoolsPost>> read_pools(const Request& request) {
    LX_TRY_AS(const auto body, request.json());
    std::vector<api::StoragePoolsPost> out;
    const auto list = body.find("pools");
    if (list == body.end() || list->is_null()) return out;
    if (!list->is_array()) return fail(Status::bad_request, "'pools' must be a list");
    for (const auto& object : *list) {
        if (!object.is_object()) return fail(Status::bad_request, "Each of 'pools' must be an object");
        LX_TRY_AS(auto post, api::parse_storage_pools_post(object));
        out.push_back(std::move(post));
    }
    return out;
}

Handled recover_validate(const Request& request, Services& services) {
    LX_CO_TRY_AS(auto pools, read_pools(request));
    auto work = [&services, pools] { return services.instances->recovery().validate(pools); };
    auto pending = on_worker(services, std::move(work));
    LX_CO_TRY_AS(const auto result, co_await std::move(pending));
    co_return Response::sync(result);
}

Handled recover_import(const Request& request, Services& services) {
    LX_CO_TRY_AS(auto pools, read_pools(request));
    auto work = [&services, pools, requestor = request.requestor_json] {
        return services.instances->recovery().import(pools, requestor);
    };
    auto pending = on_worker(services, std::move(work));
    LX_CO_TRY_AS(const auto result, co_await std::move(pending));
    co_return Response::sync(result);
}

constexpr Route kRecoverRoutes[] = {
    {Verb::post, "/internal/recover/validate", Access::local, recover_validate},
    {Verb::post, "/internal/recover/import", Access::local, recover_import},
};

}  // namespace

std::span<const Route> recover_routes() { return kRecoverRoutes; }

}  // namespace lxmgr::rest
