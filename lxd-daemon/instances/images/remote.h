#pragma once
#include <condition_variable>
#include <mutex>
#include <optional>
#include <set>
#include <stop_token>
#include <string>
#include <vector>

#include "images/web/web.h"
#include "lxd-daemon/api/instance_requests.h"
#include "lxd-daemon/database/database.h"
#include "lxd-daemon/operations/operation.h"

/// Images that are another server's.
namespace lxmgr::instances {

struct Context;

/// An image that is asked for, and what is to become of it here.
struct RemoteImage {
    database::ImageSource source;
    std::string secret;        ///< of a private image
    std::string project;       ///< at the server; empty: its default one
    std::string architecture;  ///< LXD's name
    bool cached = false;       ///< only kept because an instance was made of it
    bool auto_update = false;
    bool may_be_local = false;  ///< the server may be this machine, or one of its neighbours
    bool is_public = false;
    std::vector<std::string> profiles{"default"};  ///< keys
    std::vector<std::string> projects{"default"};  ///< that are to have it
    std::vector<database::AliasRecord> aliases;    ///< to name it here; still without a target
    api::ConfigMap properties;                     ///< win over the server's
    std::string filename;
};

/// What is being downloaded: two who want the same fetch it once. Thread-safe.
class ImageDownloads {
public:
    class Claim {
    public:
        Claim(ImageDownloads& owner, std::string key) : owner_(&owner), key_(std::move(key)) {}
        Claim(Claim&& other) noexcept
            : owner_(std::exchange(other.owner_, nullptr)), key_(std::move(other.key_)) {}
        ~Claim() {
            if (owner_ != nullptr) owner_->release(key_);
        }

    private:
        ImageDownloads* owner_;
        std::string key_;
    };
    /// Waits while another has it. Errors: `unavailable` when stop was requested.
    Result<Claim> claim(const std::string& key, const std::stop_token& stop);

private:
    void release(const std::string& key);
    std::mutex mutex_;
    std::condition_variable_any released_;
    std::set<std::string> keys_;
};

/// By which name the server is asked: an alias, so that newer images can be looked for, unless the image is
/// private: then its aliases are, too.
template <typename Source>
std::string name_on_server(const Source& source) {
    const bool by_alias = !source.alias.empty() && (source.secret.empty() || source.fingerprint.empty());
    return by_alias ? source.alias : source.fingerprint;
}

/// LXD's name of the architecture of images that are asked for without one: images.default_architecture, or
/// this machine's.
std::string default_architecture(const Context& context);
/// The proxies that the server's config names, and what it says of local addresses.
/// @param may_be_local  as RemoteImage has it: only a full administrator leads requests to services of this
///        machine, or to what clouds tell it
images::WebAccess web_access(const Context& context, const database::ImageSource& source, bool may_be_local);

/// What the source of a new instance asks for. Errors: `bad_request`.
Result<RemoteImage> remote_image_of(const Context& context, const api::InstanceSource& source,
                                    const std::string& architecture, const std::string& project);
/// The checks that need no network. Errors: `bad_request`.
Result<> check_remote(const RemoteImage& wanted);

/// The image, downloaded unless it is here. Blocking. Its progress is shown by the operation.
Result<database::ImagePtr> fetch_image(Context& context, const RemoteImage& wanted,
                                       operations::Operation& operation, std::stop_token stop);

/// The same, but the server is always asked.
Result<database::ImagePtr> fetch_newest(Context& context, const RemoteImage& wanted,
                                        operations::Operation& operation, std::stop_token stop);

}  // namespace lxmgr::instances
