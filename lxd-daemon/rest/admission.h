#pragma once
#include <boost/asio/awaitable.hpp>
#include <boost/asio/steady_timer.hpp>
#include <map>
#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "lxd-daemon/api/certificate.h"
#include "lxd-daemon/base/clock.h"
#include "lxd-daemon/base/result.h"
#include "lxd-daemon/operations/operation.h"
#include "lxd-daemon/rest/turns.h"

namespace lxmgr::rest {

struct Services;

/// How a client that is not trusted yet becomes so: by a token, which lets one in, or by the trust password.
/// I/O thread only.
class Admission {
public:
    explicit Admission(Services& services);

    /// Makes a token: an operation of class token whose metadata the client that asked for it encodes.
    /// Errors: `bad_request` when nobody could use it.
    Result<operations::OperationPtr> offer(const api::CertificatePut& fields, const std::string& requestor);
    /// Takes the offer with this secret: nobody else gets it. nullopt: there is none, or it has expired.
    std::optional<api::CertificatePut> take(const std::string& secret);
    /// Tokens that are for the project follow it to its new name; an empty one: it is gone, they end. Another
    /// project of the same name would be what they let into.
    void project_changed(const std::string& name, const std::string& new_name);
    /// Errors: `forbidden`, a second after it was asked, so that guessing is slow.
    /// @param from  who asks (Remote::counted_as): one check at a time, so that nobody keeps others waiting
    boost::asio::awaitable<Result<>> check_password(std::string password, std::string from);
    /// What to say to a secret that is not the right one. Takes a second, too.
    boost::asio::awaitable<Result<>> refuse();

private:
    struct Offer {
        api::CertificatePut fields;
        std::optional<Time> expires_at;
        operations::OperationPtr operation;
    };
    void forget_ended();
    void wait_for_expiry();

    Services& services_;
    std::map<std::string, Offer> offers_;  ///< by secret
    boost::asio::steady_timer timer_;
    Turns passwords_;
    TurnsByName guessers_;
};

}  // namespace lxmgr::rest
