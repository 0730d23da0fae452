#include "lxd-daemon/rest/https/lapsed_trust.h"

#include <map>
#include <set>

#include "lxd-daemon/database/database.h"
#include "lxd-daemon/rest/on_worker.h"

namespace lxmgr::rest {
namespace {

using Certificates = std::map<std::string, std::shared_ptr<const auth::Certificate>>;

/// Of connections whose trust rests on the authority's word alone, by fingerprint.
Certificates vouched_for(const TlsHosting& hosting, const std::shared_ptr<const auth::Authority>& authority) {
    Certificates out;
    for (const Tunnel* tunnel : hosting.tunnels) {
        const auto& remote = tunnel->remote();
        if (remote.vouched_by.lock() != authority || !remote.certificate) continue;
        const std::string& fingerprint = remote.certificate->fingerprint;
        // What the trust store says of it counts.
        if (!hosting.services.database->certificates().find(fingerprint))
            out.emplace(fingerprint, remote.certificate);
    }
    return out;
}

std::set<std::string> taken_back(const auth::Authority& authority, const Certificates& certificates) {
    std::set<std::string> out;
    for (const auto& [fingerprint, certificate] : certificates) {
        if (!authority.vouches_for(*certificate)) out.insert(fingerprint);
    }
    return out;
}

}  // namespace

bool LapsedTrust::has_other_list(const auth::Authority& authority) {
    const std::string version = authority.revoked_version();
    if (version == applied_) return false;
    const bool settled = version == seen_;
    seen_ = version;
    if (settled) applied_ = version;
    return settled;
}

boost::asio::awaitable<void> LapsedTrust::look(std::shared_ptr<TlsHosting> hosting) {
    for (Tunnel* tunnel : hosting->tunnels) {
        if (tunnel->has_expired()) tunnel->end_soon();
    }
    const auto authority = hosting->authority;
    if (!authority || !has_other_list(*authority)) co_return;
    auto check = [authority, certificates = vouched_for(*hosting, authority)] {
        return taken_back(*authority, certificates);
    };
    auto checking = on_worker(hosting->services, std::move(check));
    const auto gone = co_await std::move(checking);
    for (Tunnel* tunnel : hosting->tunnels) {
        const auto& certificate = tunnel->remote().certificate;
        if (certificate && gone.contains(certificate->fingerprint)) tunnel->abort();
    }
}

}  // namespace lxmgr::rest
