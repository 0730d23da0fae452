#pragma once
#include "lxd-daemon/auth/certificate.h"
#include "lxd-daemon/auth/identity.h"
#include "lxd-daemon/database/certificates.h"
#include "lxd-daemon/rest/remote.h"

namespace lxmgr::rest {

/// Who a peer is by its certificate. Trust is in the leaf alone, by fingerprint; one that is out of its time
/// is not trusted. Memory only.
/// @param peer  null: it showed none
auth::Identity identify(const database::Certificates& store, const auth::Certificate* peer);
/// The same; who is not in the trust store is a client too while an authority that is trusted vouches for it.
auth::Identity identify_remote(const database::Certificates& store, const Remote& remote);

}  // namespace lxmgr::rest
