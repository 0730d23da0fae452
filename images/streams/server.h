#pragma once
#include <functional>
#include <stop_token>
#include <string>
#include <vector>

#include "images/image.h"
#include "images/streams/catalog.h"
#include "images/web/web.h"

namespace lxmgr::images {

/// What is being downloaded ("rootfs"), how much of it there is, and how much there will be (0: not known).
using DownloadProgress = std::function<void(std::string_view what, std::uint64_t done, std::uint64_t total)>;

/// A simplestreams server. One thread.
class StreamServer {
public:
    /// @param url  "https://images.linuxcontainers.org"
    /// Errors: `bad_request` when it is no https URL; what Web::open() says.
    static Result<StreamServer> open(const std::string& url, WebAccess access, std::stop_token stop);

    /// All that the server has. Errors: `bad_request`, those of Web.
    Result<std::vector<StreamImage>> images();
    /// Errors: `not_found` when the server has no such image of this architecture.
    Result<StreamImage> find(const std::string& name, const std::string& architecture);
    /// The files, each as long as the list says and with its hash, as new files `prefix`.metadata and
    /// `prefix`.rootfs. On failure nothing is left. Errors: `bad_request` for a server that sends something
    /// else.
    Result<ImageFiles> download(const StreamImage& image, const std::string& prefix,
                                const DownloadProgress& progress);

private:
    StreamServer(std::string url, Web web) : url_(std::move(url)), web_(std::move(web)) {}
    std::string url_;  ///< without a slash at the end
    Web web_;
};

}  // namespace lxmgr::images
