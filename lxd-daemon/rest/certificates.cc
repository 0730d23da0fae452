#include "lxd-daemon/rest/routes.h"

// Trusted certificates: the daemon listens on its unix socket only, so that the trust store is empty.
namespace lxmgr::rest {
namespace {

Handled certificates_get(const Request&, Services&) { co_return Response::sync(nlohmann::json::array()); }

Handled certificate_get(const Request&, Services&) {
    co_return fail(Status::not_found, "Certificate not found");
}

constexpr Route kCertificatesRoutes[] = {
    {Verb::get, "/1.0/certificates", Access::can_view, certificates_get},
    {Verb::get, "/1.0/certificates/{fingerprint}", Access::can_view, certificate_get},
};

}  // namespace

std::span<const Route> certificate_routes() { return kCertificatesRoutes; }

}  // namespace lxmgr::rest
