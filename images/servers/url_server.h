#pragma once
#include "images/servers/server.h"

namespace lxmgr::images {

/// A URL that names one image by LXD's headers: the answer to HEAD has LXD-Image-Hash and LXD-Image-URL, from
/// which the file comes.
class UrlServer : public ImageServer {
public:
    static Result<std::unique_ptr<ImageServer>> open(ServerAddress address, std::stop_token stop);
    /// `name` is not used: a URL is of one image.
    Result<OfferedImage> find(const std::string& name, const std::string& architecture) override;
    Result<ImageFiles> download(const std::string& prefix, const DownloadProgress& progress) override;

private:
    UrlServer(std::string url, Web web) : url_(std::move(url)), web_(std::move(web)) {}
    std::string url_, image_url_;
    Web web_;
    std::string fingerprint_;
};

}  // namespace lxmgr::images
