#pragma once
#include <memory>
#include <string>
#include <vector>

#include "lxd-daemon/api/types.h"
#include "lxd-daemon/auth/certificate.h"
#include "lxd-daemon/base/result.h"

namespace lxmgr::rest {

struct Services;
struct Remote;
class Router;

/// Serves the API over HTTPS on core.https_address and the metrics on core.metrics_address. Costs nothing
/// while both are unset. I/O thread only.
class Https {
public:
    Https(Services& services, const Router& router, auth::ServerCertificate certificate);
    ~Https();
    Https(Https&&) = delete;

    enum class When { now, boot };
    /// Listens where the config says, and no longer where it does not. On an error everything is as before.
    /// Errors: `bad_request` when an address cannot be listened on.
    /// @param when  boot: an address that the machine does not have yet will do
    Result<> listen(const api::ConfigMap& config, When when = When::now);
    [[nodiscard]] bool is_listening() const;
    /// "IP:PORT" of everything that clients elsewhere may try; interfaces are asked at most every two
    /// seconds.
    [[nodiscard]] std::vector<std::string> addresses() const;
    [[nodiscard]] const auth::Certificate& certificate() const;
    /// Serves the next connections with it. Errors: `bad_request`.
    Result<> replace_certificate(auth::ServerCertificate certificate);
    /// Ends all connections with this client certificate, but for `except`, which ends with its next request.
    void drop(const std::string& fingerprint, const Remote* except);
    /// As Server's.
    void drain();
    void close();

private:
    struct Impl;
    std::shared_ptr<Impl> impl_;
};

}  // namespace lxmgr::rest
