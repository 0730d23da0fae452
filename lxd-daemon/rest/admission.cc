#include "lxd-daemon/rest/admission.h"

#include <algorithm>
#include <boost/asio/redirect_error.hpp>
#include <boost/asio/use_awaitable.hpp>

#include "lxd-daemon/auth/password.h"
#include "lxd-daemon/base/failpoint.h"
#include "lxd-daemon/base/strings.h"
#include "lxd-daemon/rest/https/https.h"
#include "lxd-daemon/rest/on_worker.h"
#include "lxd-daemon/rest/server_info.h"
#include "lxd-daemon/rest/services.h"
#include "profiles/listen_address.h"

namespace lxmgr::rest {
namespace {

namespace asio = boost::asio;
constexpr std::chrono::seconds kRefusalTime{1};
constexpr std::size_t kPasswordsAtOnce = 2;
constexpr std::size_t kSecretBytes = 32;

std::unexpected<Error> not_admitted() { return fail(Status::forbidden, "not authorized"); }

}  // namespace

Admission::Admission(Services& services)
    : services_(services),
      timer_(services.io),
      passwords_(services.io, kPasswordsAtOnce),
      guessers_(services.io) {}

Result<operations::OperationPtr> Admission::offer(const api::CertificatePut& fields,
                                                  const std::string& requestor) {
    if (services_.https == nullptr || !services_.https->is_listening()) {
        return fail(Status::bad_request,
                    "Can't issue token when server isn't listening on network: set core.https_address");
    }
    Offer made{fields, std::nullopt, nullptr};
    const auto config = services_.server->config();
    const std::string secret = random_hex(kSecretBytes);
    nlohmann::json metadata{{"secret", secret},
                            {"fingerprint", services_.https->certificate().fingerprint},
                            {"addresses", services_.https->addresses()},
                            {"request", api::to_json(api::CertificatesPost{fields, "", true})}};
    if (const auto expiry = config.find("core.remote_token_expiry"); expiry != config.end()) {
        LX_TRY_AS(made.expires_at, profiles::token_expiry_after(expiry->second, now()));
        metadata["expiresAt"] = to_rfc3339(*made.expires_at);
    }
    operations::Request wanted;
    wanted.kind = operations::Class::token;
    wanted.description = "Executing operation";
    wanted.metadata = std::move(metadata);
    wanted.may_cancel = true;
    wanted.requestor = requestor;
    wanted.project = "";  // nobody's but the administrators'
    LX_TRY_AS(made.operation, services_.operations.start(std::move(wanted)));
    auto operation = made.operation;
    forget_ended();
    offers_.emplace(secret, std::move(made));
    wait_for_expiry();
    return operation;
}

void Admission::forget_ended() {
    std::erase_if(offers_, [time = now()](const auto& entry) {
        const Offer& offer = entry.second;
        if (offer.expires_at && *offer.expires_at <= time) offer.operation->abort();
        return offer.operation->is_final();
    });
}

/// Tokens that have expired leave the list of operations by themselves.
void Admission::wait_for_expiry() {
    std::optional<Time> next;
    for (const auto& [secret, offer] : offers_) {
        if (offer.expires_at && (!next || *offer.expires_at < *next)) next = offer.expires_at;
    }
    timer_.cancel();
    if (!next) return;
    timer_.expires_after(std::max<Time::duration>(*next - now(), std::chrono::milliseconds(1)));
    timer_.async_wait([this](const boost::system::error_code& error) {
        if (error) return;
        forget_ended();
        wait_for_expiry();
    });
}

std::optional<api::CertificatePut> Admission::take(const std::string& secret) {
    forget_ended();
    const auto found = std::ranges::find_if(
        offers_, [&](const auto& entry) { return auth::is_same_secret(entry.first, secret); });
    if (found == offers_.end()) return std::nullopt;
    Offer offer = std::move(found->second);
    offers_.erase(found);
    offer.operation->abort();  // as LXD, whose list of tokens is that of its operations
    return std::move(offer.fields);
}

void Admission::project_changed(const std::string& name, const std::string& new_name) {
    for (auto& [secret, offer] : offers_) {
        auto& projects = offer.fields.projects;
        if (std::ranges::find(projects, name) == projects.end()) continue;
        if (new_name.empty()) {
            offer.operation->abort();
            continue;
        }
        std::ranges::replace(projects, name, new_name);
        offer.operation->update_metadata(
            {{"request", api::to_json(api::CertificatesPost{offer.fields, "", true})}});
    }
    forget_ended();
}

asio::awaitable<Result<>> Admission::refuse() {
    asio::steady_timer pause(services_.io, kRefusalTime);
    boost::system::error_code error;
    auto wait = pause.async_wait(asio::redirect_error(asio::use_awaitable, error));
    co_await std::move(wait);
    co_return not_admitted();
}

asio::awaitable<Result<>> Admission::check_password(std::string password, std::string from) {
    const std::string hash = services_.server->password_hash();
    bool right = false;
    if (!hash.empty()) {
        auto coming = guessers_.take(std::move(from));
        const auto own_turn = co_await std::move(coming);
        auto queueing = passwords_.take();
        const auto turn = co_await std::move(queueing);
        auto check = [password = std::move(password), hash] {
            failpoint("rest.password");
            return auth::is_password(password, hash);
        };
        auto checking = on_worker(services_, std::move(check));
        right = co_await std::move(checking);
    }
    if (right) co_return Result<>{};
    auto refusing = refuse();
    co_return co_await std::move(refusing);
}

}  // namespace lxmgr::rest
