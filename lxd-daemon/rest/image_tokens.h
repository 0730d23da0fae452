#pragma once
#include <nlohmann/json.hpp>
#include <string>

#include "lxd-daemon/operations/operation.h"
#include "lxd-daemon/rest/route.h"

/// Secrets with which somebody who is not trusted fetches a private image once, or brings one. An operation
/// of class token holds each. I/O thread.
namespace lxmgr::rest {

enum class ImageToken { download, upload };

/// @param metadata  what is kept beside the secret
/// @param project   of who asks
Result<operations::OperationPtr> offer_image(operations::Registry& operations, ImageToken kind,
                                             const std::string& fingerprint, nlohmann::json metadata,
                                             const std::string& requestor, const std::string& project);
/// Null: the secret is none of this image. Whoever uses the token ends it.
operations::OperationPtr find_image_token(const operations::Registry& operations, ImageToken kind,
                                          const std::string& fingerprint, const std::string& secret);
/// Of a request that brings an image: X-LXD-secret and X-LXD-fingerprint name it.
operations::OperationPtr find_upload_token(const operations::Registry& operations, const Request& request);

}  // namespace lxmgr::rest
