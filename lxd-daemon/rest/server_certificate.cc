#include <nlohmann/json.hpp>

#include "lxd-daemon/api/json_reader.h"
#include "lxd-daemon/auth/certificate.h"
#include "lxd-daemon/rest/https/https.h"
#include "lxd-daemon/rest/lifecycle.h"
#include "lxd-daemon/rest/on_worker.h"
#include "lxd-daemon/rest/routes.h"
#include "lxd-daemon/rest/server_info.h"
#include "lxd-daemon/rest/services.h"

// PUT /1.0/cluster/certificate: what LXD replaces the certificate of a server by, clustered or not.
namespace lxmgr::rest {
namespace {

Handled server_certificate_put(const Request& request, Services& services) {
    LX_CO_TRY_AS(const auto body, request.json());
    auth::KeyPair pair;
    api::Reader reader(body);
    LX_CO_TRY(reader.text("cluster_certificate", pair.certificate_pem)
                  .text("cluster_certificate_key", pair.key_pem)
                  .done());
    auto queueing = services.config_changes.take();
    const auto turn = co_await std::move(queueing);
    auto store = [pair, root = services.root]() -> Result<auth::ServerCertificate> {
        LX_TRY_AS(auto checked, auth::parse_key_pair(pair));
        if (!checked.certificate.is_valid_now())
            return fail(Status::bad_request, "The certificate is not valid now: see its dates");
        LX_TRY(auth::store_server_certificate(root, checked));
        return checked;
    };
    auto storing = on_worker(services, std::move(store));
    LX_CO_TRY_AS(auto stored, co_await std::move(storing));
    services.server->set_certificate(stored.certificate);
    if (services.https != nullptr) LX_CO_TRY(services.https->replace_certificate(std::move(stored)));
    publish_server_lifecycle(services, request.requestor_json, "cluster-certificate-updated",
                             "/1.0/cluster/certificate");
    co_return Response::empty();
}

constexpr Route kServerCertificateRoutes[] = {
    {Verb::put, "/1.0/cluster/certificate", Access::admin, server_certificate_put}};

}  // namespace

std::span<const Route> server_certificate_routes() { return kServerCertificateRoutes; }

}  // namespace lxmgr::rest
