#pragma once
#include <string>

#include "lxd-daemon/api/image.h"
#include "lxd-daemon/database/database.h"
#include "lxd-daemon/operations/operation.h"

namespace lxmgr::instances {

struct Context;

/// Images from elsewhere than an upload. `requestor` is the JSON of the peer for lifecycle events.
/// Thread-safe.
class ImageService {
public:
    explicit ImageService(Context& context) : context_(context) {}

    /// What POST /1.0/images asks for with a JSON body. Errors: `bad_request`, `conflict` for an alias that
    /// names another image.
    Result<operations::OperationPtr> create(api::ImagesPost post, const std::string& requestor);

    /// Asks the image's server for a newer one. Errors: `not_found`, `bad_request` without a source.
    /// @param project  of who asks
    Result<operations::OperationPtr> refresh(const std::string& fingerprint, const std::string& requestor,
                                             const std::string& project);
    /// Sends an image to a server that waits for it. Errors: `bad_request`.
    Result<operations::OperationPtr> push(const database::ImagePtr& image, api::ImageExportPost post,
                                          const std::string& requestor, const std::string& project);
    /// Of an image that will be brought. Errors: `bad_request`, `conflict` as of create().
    Result<> check_offer(const api::ImagesPost& post) const;
    /// Keys of the server's config, or images, have changed: what is due may be due at another time.
    void changed();

private:
    Result<operations::OperationPtr> publish(api::ImagesPost post, const std::string& requestor);
    Result<operations::OperationPtr> fetch(api::ImagesPost post, const std::string& requestor);
    Context& context_;
};

}  // namespace lxmgr::instances
