#pragma once
#include "images/servers/server.h"

namespace lxmgr::images {

/// An LXD, Incus or lxmgr server whose images are public, or open to who has a secret.
class LxdServer : public ImageServer {
public:
    static Result<std::unique_ptr<ImageServer>> open(ServerAddress address, std::stop_token stop);
    /// The server's aliases are of one image each, whatever the architecture.
    Result<OfferedImage> find(const std::string& name, const std::string& architecture) override;
    Result<ImageFiles> download(const std::string& prefix, const DownloadProgress& progress) override;

private:
    LxdServer(ServerAddress address, Web web) : address_(std::move(address)), web_(std::move(web)) {}
    [[nodiscard]] std::string image_url(const std::string& fingerprint, const char* more) const;
    ServerAddress address_;
    Web web_;
    OfferedImage found_;
};

}  // namespace lxmgr::images
