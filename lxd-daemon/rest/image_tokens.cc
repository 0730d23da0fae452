#include "lxd-daemon/rest/image_tokens.h"

#include "lxd-daemon/auth/password.h"
#include "lxd-daemon/base/strings.h"

namespace lxmgr::rest {
namespace {

constexpr std::size_t kImageSecretBytes = 32;

const char* description_of(ImageToken kind) {
    return kind == ImageToken::download ? "Image download token" : "Image upload token";
}

}  // namespace

Result<operations::OperationPtr> offer_image(operations::Registry& operations, ImageToken kind,
                                             const std::string& fingerprint, nlohmann::json metadata,
                                             const std::string& requestor) {
    metadata["secret"] = random_hex(kImageSecretBytes);
    metadata["fingerprint"] = fingerprint;
    operations::Request wanted;
    wanted.kind = operations::Class::token;
    wanted.description = description_of(kind);
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
        if (shown.at("description") != description_of(kind) || !metadata.is_object()) continue;
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
