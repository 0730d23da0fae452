#pragma once
#include <string>

#include "lxd-daemon/auth/certificate.h"
#include "lxd-daemon/base/result.h"

namespace lxmgr::auth {

/// An authority whose word makes its clients trusted: STATE/server.ca, and what it took back: STATE/ca.crl.
class Authority {
public:
    /// Errors: `bad_request` when there is no such file, or it holds no certificate.
    static Result<Authority> open(const std::string& state_dir);
    bool operator==(const Authority&) const = default;
    /// The client's certificate is signed by it, is valid now, is for clients, and was not taken back: the
    /// list is read each time, and when there is one, it must itself be valid. Blocking.
    [[nodiscard]] bool vouches_for(const Certificate& client) const;
    /// Another text when the list has been replaced, or is gone.
    [[nodiscard]] std::string revoked_version() const;

private:
    std::string certificate_pem_, revoked_path_;
};

}  // namespace lxmgr::auth
