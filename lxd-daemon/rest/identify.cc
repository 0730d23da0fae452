#include "lxd-daemon/rest/identify.h"

namespace lxmgr::rest {

using auth::Who;

auth::Identity identify(const database::Certificates& store, const auth::Certificate* peer) {
    auth::Identity out;
    if (peer == nullptr) return out;
    out.fingerprint = peer->fingerprint;
    const auto known = store.find(peer->fingerprint);
    if (!known || !peer->is_valid_now()) return out;
    out.who = known->type == "metrics" ? Who::metrics : Who::client;
    out.restricted = known->restricted;
    out.projects = known->projects;
    return out;
}

auth::Identity identify_remote(const database::Certificates& store, const Remote& remote) {
    auto out = identify(store, remote.certificate.get());
    const auto& peer = remote.certificate;
    if (peer && !remote.vouched_by.expired() && peer->is_valid_now() && !store.find(peer->fingerprint))
        out.who = Who::client;
    return out;
}

}  // namespace lxmgr::rest
