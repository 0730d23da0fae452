#include "lxd-daemon/rest/image_tokens.h"

#include <fmt/format.h>

#include <chrono>

#include "lxd-daemon/auth/password.h"
#include "lxd-daemon/base/clock.h"
#include "lxd-daemon/base/strings.h"

namespace lxmgr::rest {
namespace {

constexpr std::size_t kImageSecretBytes = 32;
constexpr std::chrono::hours kTokenLife{24};
constexpr std::size_t kMaxTokens = 100;  ///< of one requestor

const char* description_of(ImageToken kind) {
    return kind == ImageToken::download ? "Image download token" : "Image upload token";
}

bool is_live(const operations::Operation& operation, const nlohmann::json& shown, ImageToken kind) {
    if (operation.kind() != operations::Class::token || operation.is_final()) return false;
    return shown.at("description") == description_of(kind) && shown.at("metadata").is_object();
}

bool is_stale(const nlohmann::json& shown) {
    const auto made = parse_rfc3339(shown.at("created_at").get<std::string>());
    return made && now() - *made > kTokenLife;
}

/// Ends those that nobody came for. Errors: `unavailable` when a requestor has too many.
Result<> make_room(const operations::Registry& operations, ImageToken kind, const std::string& requestor) {
    std::size_t own = 0;
    for (const auto& operation : operations.list()) {
        if (operation->kind() != operations::Class::token || operation->is_final()) continue;
        const auto shown = operation->to_json();
        if (!is_live(*operation, shown, kind)) continue;
        if (is_stale(shown)) {
            operation->finish(nlohmann::json(nullptr));
        } else if (operation->requestor() == requestor) {
            ++own;
        }
    }
    if (own < kMaxTokens) return {};
    return fail(Status::unavailable,
                fmt::format("{} images wait already to be fetched or brought: cancel their operations", own));
}

}  // namespace

Result<operations::OperationPtr> offer_image(operations::Registry& operations, ImageToken kind,
                                             const std::string& fingerprint, nlohmann::json metadata,
                                             const std::string& requestor, const std::string& project) {
    LX_TRY(make_room(operations, kind, requestor));
    metadata["secret"] = random_hex(kImageSecretBytes);
    metadata["fingerprint"] = fingerprint;
    operations::Request wanted;
    wanted.kind = operations::Class::token;
    wanted.description = description_of(kind);
    wanted.project = project;
    wanted.resources = {{"images", {fingerprint}}};
    wanted.metadata = std::move(metadata);
    wanted.may_cancel = true;
    wanted.requestor = requestor;
    return operations.start(std::move(wanted));
}

operations::OperationPtr find_image_token(const operations::Registry& operations, ImageToken kind,
                                          const std::string& fingerprint, const std::string& secret) {
    if (secret.empty() || fingerprint.empty()) return nullptr;
    for (const auto& operation : operations.list()) {
        if (operation->kind() != operations::Class::token || operation->is_final()) continue;
        const auto shown = operation->to_json();
        const auto& metadata = shown.at("metadata");
        if (!is_live(*operation, shown, kind) || is_stale(shown)) continue;
        if (metadata.value("fingerprint", "") == fingerprint &&
            auth::is_same_secret(metadata.value("secret", ""), secret))
            return operation;
    }
    return nullptr;
}

operations::OperationPtr find_upload_token(const operations::Registry& operations, const Request& request) {
    return find_image_token(operations, ImageToken::upload,
                            to_lower(request.header("x-lxd-fingerprint").value_or("")),
                            request.header("x-lxd-secret").value_or(""));
}

}  // namespace lxmgr::rest
