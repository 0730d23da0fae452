#pragma once
#include <functional>
#include <memory>
#include <stop_token>
#include <string>
#include <string_view>

#include "images/image.h"
#include "images/web/web.h"

/// Servers that images can be fetched from, whatever they speak.
namespace lxmgr::images {

/// An image as its server describes it.
struct OfferedImage {
    std::string fingerprint;
    std::string architecture;  ///< LXD's name; empty: not known before it is read
    std::string filename;
    api::ConfigMap properties;
    Time created_at{}, expires_at{};
    std::uint64_t size_bytes = 0;
};

/// What is being downloaded ("rootfs"), how much of it there is, and how much there will be (0: not known).
using DownloadProgress = std::function<void(std::string_view what, std::uint64_t done, std::uint64_t total)>;

/// One thread.
class ImageServer {
public:
    virtual ~ImageServer() = default;
    /// By alias or fingerprint. Errors: `not_found`, `bad_request`, those of Web.
    virtual Result<OfferedImage> find(const std::string& name, const std::string& architecture) = 0;
    /// The files of what find() gave, checked, as new files `prefix`.metadata and, of a split image,
    /// `prefix`.rootfs. On failure nothing is left. Errors: `bad_request` for a server that sends something
    /// else.
    virtual Result<ImageFiles> download(const std::string& prefix, const DownloadProgress& progress) = 0;
};

struct ServerAddress {
    std::string protocol;  ///< "simplestreams", "lxd" or "direct"
    std::string url;
    std::string secret;   ///< of a private image of an LXD server
    std::string project;  ///< of such a server's image; empty: the default one
    WebAccess access;
};
/// Errors: `bad_request` for a protocol or URL that is none.
Result<std::unique_ptr<ImageServer>> open_image_server(ServerAddress address, std::stop_token stop);

}  // namespace lxmgr::images
