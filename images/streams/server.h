#pragma once
#include <stop_token>
#include <string>
#include <vector>

#include "images/servers/server.h"
#include "images/streams/catalog.h"
#include "images/web/web.h"

namespace lxmgr::images {

/// A simplestreams server. One thread.
class StreamServer : public ImageServer {
public:
    /// @param url  "https://images.linuxcontainers.org"
    /// Errors: `bad_request` when it is no https URL; what Web::open() says.
    static Result<StreamServer> open(const std::string& url, WebAccess access, std::stop_token stop);

    /// All that the server has. Errors: `bad_request`, those of Web.
    Result<std::vector<StreamImage>> images();
    /// Errors: `not_found` when the server has no such image of this architecture.
    Result<OfferedImage> find(const std::string& name, const std::string& architecture) override;
    Result<ImageFiles> download(const std::string& prefix, const DownloadProgress& progress) override;

private:
    StreamServer(std::string url, Web web) : url_(std::move(url)), web_(std::move(web)) {}
    std::string url_;  ///< without a slash at the end
    Web web_;
    StreamImage found_;
};

}  // namespace lxmgr::images
