#include <nlohmann/json.hpp>

#include "lxd-daemon/api/certificate.h"
#include "lxd-daemon/auth/certificate.h"
#include "lxd-daemon/base/strings.h"
#include "lxd-daemon/database/database.h"
#include "lxd-daemon/rest/admission.h"
#include "lxd-daemon/rest/https/https.h"
#include "lxd-daemon/rest/lifecycle.h"
#include "lxd-daemon/rest/listing.h"
#include "lxd-daemon/rest/on_worker.h"
#include "lxd-daemon/rest/remote.h"
#include "lxd-daemon/rest/routes.h"
#include "lxd-daemon/rest/services.h"
#include "lxd-daemon/rest/urls.h"

// The trust store. Wire: client-wire-notes, "trust and remotes".
namespace lxmgr::rest {
namespace {

constexpr std::size_t kMaxName = 255;

std::string url_of_certificate(const std::string& fingerprint) {
    return url_of({"certificates", fingerprint});
}

api::Certificate certificate_view(const database::CertificateRecord& record) {
    return {{record.name, record.type, record.restricted, record.projects, record.pem}, record.fingerprint};
}

Handled certificates_get(const Request& request, Services& services) {
    auto objects = nlohmann::json::array();
    for (const auto& record : services.database->certificates().list())
        objects.push_back(api::to_json(certificate_view(*record)));
    co_return list_response(request, std::move(objects), [](const nlohmann::json& object) {
        return url_of_certificate(object.at("fingerprint"));
    });
}

Handled certificate_get(const Request& request, Services& services) {
    LX_CO_TRY_AS(const auto record,
                 services.database->certificates().find_prefix(request.path_arg("fingerprint")));
    const auto shown = certificate_view(*record);
    co_return Response::sync(api::to_json(shown)).with_etag(etag_of(api::etag_fields(shown)));
}

Result<> check_fields(const Services& services, const api::CertificatePut& fields) {
    if (fields.name.size() > kMaxName || has_control_chars(fields.name))
        return fail(Status::bad_request, "Invalid certificate name");
    if (fields.type != "client" && fields.type != "metrics") {
        return fail(Status::bad_request,
                    "Unknown certificate type '" + fields.type + "': there are \"client\" and \"metrics\"");
    }
    for (const auto& project : fields.projects) {
        if (!services.database->projects().find(project))
            return fail(Status::bad_request, "Project '" + project + "' not found");
    }
    return {};
}

/// What is to be trusted: what the body gives, else what the client showed in the handshake.
Result<auth::Certificate> certificate_of(const Request& request, const std::string& given) {
    auth::Certificate out;
    if (!given.empty()) {
        LX_TRY_AS(out, auth::parse_certificate(given));
    } else if (request.remote != nullptr && request.remote->certificate) {
        out = *request.remote->certificate;
    } else {
        return fail(Status::bad_request, "No client certificate provided");
    }
    if (!out.is_valid_now())
        return fail(Status::bad_request, "The certificate is not valid now: see its dates");
    return out;
}

database::CertificateRecord record_of(const api::CertificatePut& fields,
                                      const auth::Certificate& certificate) {
    return {certificate.fingerprint, fields.name,     fields.type, fields.restricted,
            fields.projects,         certificate.pem, now()};
}

Handled store_certificate(const Request& request, Services& services, database::CertificateRecord record) {
    auto create = [&services, record] { return services.database->certificates().create(record); };
    auto pending = on_worker(services, std::move(create));
    LX_CO_TRY(co_await std::move(pending));
    const std::string url = url_of_certificate(record.fingerprint);
    publish_server_lifecycle(services, request.requestor_json, "certificate-created", url);
    co_return Response::created(url);
}

/// A client that is not trusted adds its own certificate.
Handled join_trust_store(const Request& request, Services& services, api::CertificatesPost post) {
    if (post.secret.empty() || services.admission == nullptr)
        co_return fail(Status::forbidden, "not authorized");
    // Before the secret is used up. What the client proved to have is what is trusted.
    LX_CO_TRY_AS(const auto certificate, certificate_of(request, ""));
    if (services.database->certificates().find(certificate.fingerprint))
        co_return fail(Status::conflict, "Certificate already in trust store");
    api::CertificatePut fields = post.fields;
    if (const std::string secret = api::token_secret(post.secret); !secret.empty()) {
        auto offered = services.admission->take(secret);
        if (!offered) {
            auto refusing = services.admission->refuse();
            LX_CO_TRY(co_await std::move(refusing));
        }
        fields = *std::move(offered);  // only the administrator says what the token is for
    } else {
        const std::string from = request.remote != nullptr ? request.remote->counted_as : std::string();
        auto checking = services.admission->check_password(post.secret, from);
        LX_CO_TRY(co_await std::move(checking));
    }
    // Who does not know the secret must not learn which projects there are.
    LX_CO_TRY(check_fields(services, fields));
    if (fields.name.empty()) fields.name = request.identity.address;
    auto storing = store_certificate(request, services, record_of(fields, certificate));
    co_return co_await std::move(storing);
}

Handled certificates_post(const Request& request, Services& services) {
    LX_CO_TRY_AS(const auto body, request.json());
    LX_CO_TRY_AS(auto post, api::parse_certificates_post(body));
    if (!request.identity.is_admin()) {
        if (post.token) co_return fail(Status::forbidden, "not authorized");
        auto joining = join_trust_store(request, services, std::move(post));
        co_return co_await std::move(joining);
    }
    LX_CO_TRY(check_fields(services, post.fields));
    if (post.token) {
        if (services.admission == nullptr) co_return fail(Status::bad_request, "No tokens here");
        LX_CO_TRY_AS(const auto operation, services.admission->offer(post.fields, request.requestor_json));
        co_return Response::operation(*operation);
    }
    LX_CO_TRY_AS(const auto certificate, certificate_of(request, post.fields.certificate));
    auto storing = store_certificate(request, services, record_of(post.fields, certificate));
    co_return co_await std::move(storing);
}

/// Connections that were made with more rights than are left must end.
void apply_to_connections(const Request& request, Services& services,
                          const database::CertificateRecord& old) {
    if (services.https != nullptr) services.https->drop(old.fingerprint, request.remote);
}

Handled replace_certificate(const Request& request, Services& services, database::CertificatePtr old,
                            api::CertificatePut fields) {
    LX_CO_TRY(check_fields(services, fields));
    LX_CO_TRY_AS(const auto certificate, certificate_of(request, fields.certificate));
    auto change = [&services, old, next = record_of(fields, certificate)] {
        return services.database->certificates().update(old->fingerprint, next);
    };
    auto pending = on_worker(services, std::move(change));
    LX_CO_TRY(co_await std::move(pending));
    const bool same_rights = old->type == fields.type && old->restricted == fields.restricted &&
                             old->projects == fields.projects && old->fingerprint == certificate.fingerprint;
    if (!same_rights) apply_to_connections(request, services, *old);
    publish_server_lifecycle(services, request.requestor_json, "certificate-updated",
                             url_of_certificate(certificate.fingerprint));
    co_return Response::empty();
}

/// PUT replaces name, type, restricted and projects; a certificate only when it gives one. PATCH what it
/// gives.
Handled certificate_change(const Request& request, Services& services) {
    LX_CO_TRY_AS(auto record, services.database->certificates().find_prefix(request.path_arg("fingerprint")));
    const auto shown = certificate_view(*record);
    LX_CO_TRY(check_etag(request, etag_of(api::etag_fields(shown))));
    LX_CO_TRY_AS(const auto body, request.json());
    api::CertificatePut start = shown.fields;
    if (request.verb == Verb::put) start = {"", record->type, false, {}, record->pem};
    LX_CO_TRY_AS(auto fields, api::patch_certificate(body, std::move(start)));
    if (fields.certificate.empty()) fields.certificate = record->pem;
    auto replacing = replace_certificate(request, services, std::move(record), std::move(fields));
    co_return co_await std::move(replacing);
}

Handled certificate_delete(const Request& request, Services& services) {
    LX_CO_TRY_AS(const auto record,
                 services.database->certificates().find_prefix(request.path_arg("fingerprint")));
    auto remove = [&services, record] {
        return services.database->certificates().remove(record->fingerprint);
    };
    auto pending = on_worker(services, std::move(remove));
    LX_CO_TRY(co_await std::move(pending));
    apply_to_connections(request, services, *record);
    publish_server_lifecycle(services, request.requestor_json, "certificate-deleted",
                             url_of_certificate(record->fingerprint));
    co_return Response::empty();
}

constexpr Route kCertificatesRoutes[] = {
    {Verb::get, "/1.0/certificates", Access::admin, certificates_get},
    {Verb::post, "/1.0/certificates", Access::anyone, certificates_post},
    {Verb::get, "/1.0/certificates/{fingerprint}", Access::admin, certificate_get},
    {Verb::put, "/1.0/certificates/{fingerprint}", Access::admin, certificate_change},
    {Verb::patch, "/1.0/certificates/{fingerprint}", Access::admin, certificate_change},
    {Verb::del, "/1.0/certificates/{fingerprint}", Access::admin, certificate_delete},
};

}  // namespace

std::span<const Route> certificate_routes() { return kCertificatesRoutes; }

}  // namespace lxmgr::rest
